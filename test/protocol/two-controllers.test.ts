// Two real controllers with Services from files and copies of the same records, and an agent of both.

import { equal, ok } from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { test } from 'node:test';
import { stateFile } from '../../src/controller/records/records.ts';
import { folder, runningController, service } from '../controller/fixture.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from './agent-side.ts';

const limit = { timeout: 60_000 };

test(
  'the agent obeys the controller of the highest generation, and the other once that is gone',
  limit,
  async (t) => {
    const stateDir = folder(t);
    const one = await runningController(t, {
      stateDir,
      files: { 'a.yaml': service('web', { ports: [81] }) },
    });
    const copy = folder(t);
    copyFileSync(stateFile(stateDir), stateFile(copy));
    const two = await runningController(t, {
      stateDir: copy,
      files: { 'a.yaml': service('web', { ports: [82] }) },
    });
    equal(one.controller.cluster, two.controller.cluster);
    ok(two.controller.generation > one.controller.generation);
    const controllers = [one, two].map((controller, index) => ({ ...controller, port: 81 + index }));
    const agent = agentOf(
      t,
      controllers.map(({ url }) => url.replace('http', 'ws')),
    );
    const isConnected = () => controllers.every(({ controller }) => controller.nodes.get('n1')?.isConnected);
    const highest = () =>
      controllers.toSorted((a, b) => b.controller.generation - a.controller.generation)[0];
    await untilTrue(() => isConnected() && agent.port() === highest()?.port);
    equal(agent.session.generation, highest()?.controller.generation);
    const before = agent.session.generation;
    const ruler = highest();
    await ruler?.stop();
    const other = controllers.find((controller) => controller !== ruler);
    await untilTrue(() => agent.port() === other?.port);
    ok((other?.controller.generation ?? 0) >= before);
    equal(agent.session.generation, other?.controller.generation);
  },
);
