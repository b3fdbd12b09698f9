// Many files of one folder that change together: what is one removal, and what is none.

import { equal } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 30_000 };

test('a folder that is emptied file by file is one removal', limit, async (t) => {
  const names = Array.from({ length: 20 }, (_, index) => `${index}.yaml`);
  const files = Object.fromEntries(names.map((name, index) => [name, service(`s${index}`)]));
  const running = await runningController(t, { files });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  for (const name of names) rmSync(join(running.services, name));
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  equal(agent.rules.size, 20);
  for (const [name, text] of Object.entries(files)) running.write(name, text);
  await untilStatus(running, ({ massRemoval }) => massRemoval === null);
  equal(agent.rules.size, 20);
});

test('a Service that moves to another file is not removed on the way', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 2);
  running.write('a.yaml', '# moved\n');
  running.write('b.yaml', service('api'), service('web', { ports: [81] }));
  await agent.until(({ rules }) => [...rules.values()].some(({ ports }) => ports[0]?.port === 81));
  equal(
    agent.heard.some((message) => message.type === 'delta' && message.remove.length > 0),
    false,
  );
});
