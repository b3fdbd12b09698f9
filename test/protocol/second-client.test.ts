// A second implementation of the agent's side against the real controller: docs/protocol.md is enough.

import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runningController, service, type TestController, untilStatus } from '../controller/fixture.ts';
import { SecondClient } from './second-client.ts';

const limit = { timeout: 60_000 };

function clientOf(t: TestContext, { url }: TestController, tables?: SecondClient['tables']): SecondClient {
  const client = new SecondClient(url.replace('http', 'ws'), 'n2', tables);
  t.after(() => client.terminate());
  return client;
}

const portOf = ({ tables }: SecondClient, address: string): number | undefined => {
  const rule = tables.rules.resources.get(address) as { ports: { port: number }[] } | undefined;
  return rule?.ports[0]?.port;
};

test('the second client syncs, holds the VIP as status says, and follows a change', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const client = clientOf(t, running);
  await client.synced();
  equal(client.welcome?.ruling, true);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n2');
  running.write('a.yaml', service('web', { ports: [81] }));
  await client.until(() => portOf(client, '10.77.0.100') === 81);
  await untilStatus(running, ({ nodes, seq }) => nodes[0]?.seq === seq);
});

test('the second client reconnects without a snapshot and gets only what it missed', limit, async (t) => {
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`${at}.yaml`, service(`s${at}`)]));
  const running = await runningController(t, { files });
  const first = clientOf(t, running);
  await first.until(() => first.tables.placements.resources.size === 40);
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  await first.close();
  const second = clientOf(t, running, first.tables);
  await second.synced();
  deepEqual(second.heard, ['welcome', 'synced', 'synced']);
  await second.close();
  running.write('7.yaml', service('s7', { ports: [8080] }));
  await untilStatus(running, ({ vips }) =>
    vips.some(({ services }) => services.some(({ ports }) => ports[0]?.port === 8080)),
  );
  const third = clientOf(t, running, second.tables);
  await third.synced();
  deepEqual(third.heard, ['welcome', 'page', 'synced', 'synced']);
});

test('the second client finds a wrong table by its digest and asks for what differs', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const client = clientOf(t, running);
  await client.until(() => client.tables.placements.resources.size === 2);
  const { rules } = client.tables;
  const before = rules.total();
  rules.resources.delete('10.77.0.101');
  notEqual(rules.total(), before);
  client.resync('rules');
  await client.until(() => rules.resources.has('10.77.0.101'));
  equal(rules.total(), before);
});
