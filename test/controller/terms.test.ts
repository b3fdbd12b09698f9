// Terms and generations that nodes claim: possible ones are followed at a limited rate, impossible ones are
// ignored.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Controller } from '../../src/controller/controller.ts';
import { noRecords } from '../../src/controller/records/records.ts';
import { raisePauseMs } from '../../src/controller/terms.ts';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };

test('a claim with a term of 2^52 is ignored, and another node gets the VIP', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const held = [{ address: first, term: { generation: 2 ** 52, n: 1 } }];
  const liar = agentOf(t, running, 'liar', { hello: { held } });
  await liar.synced();
  await untilStatus(running, ({ vips }) => vips[0]?.reason === 'ImpossibleTerm');
  const honest = agentOf(t, running, 'n1');
  await honest.until(({ placements }) => placements.has(first));
  ok((honest.placements.get(first)?.term.generation ?? 0) < 100);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
});

test(
  'a generation of 2^52 is refused with ImpossibleTerm, and one a little above ours raises ours',
  limit,
  async (t) => {
    const running = await runningController(t, { files: { 'a.yaml': service('web') } });
    const liar = agentOf(t, running, 'liar', { hello: { generation: 2 ** 52 } });
    match((await liar.untilClosed()).reason, /ImpossibleTerm/);
    equal(running.status().generation, 1);
    const other = agentOf(t, running, 'n1');
    await other.synced();
    const restored = agentOf(t, running, 'n2', { hello: { generation: 41 } });
    await restored.synced();
    equal(running.status().generation, 42);
    equal((await other.untilClosed()).code, 1012);
    const { from, to, node } = running.status().generationRaised ?? {};
    deepEqual([from, to, node], [1, 42, 'n2']);
    const flapper = agentOf(t, running, 'n3', { hello: { generation: 60 } });
    match((await flapper.untilClosed()).reason, /^generation: raised less than 10 s ago: try again/);
    deepEqual([running.status().generation, restored.closed], [42, null]);
  },
);

test('nodes can raise the generation at most once in 10 s', () => {
  let nowMs = 1000;
  let changes = 0;
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: [],
    filterByDefault: true,
    onChange: () => changes++,
    nowMs: () => nowMs,
  });
  const { terms } = controller;
  const hear = (generation: number, node = 'n1') => terms.hear({ generation, node });
  deepEqual([hear(0, 'n2'), hear(0), terms.next(), changes], ['known', 'known', { generation: 1, n: 1 }, 0]);
  deepEqual(
    [hear(7), hear(8), hear(9), controller.generation, changes],
    ['raised', 'known', 'tooSoon', 8, 1],
  );
  // The new generation has issued no term, and has not welcomed a node that the former one had.
  deepEqual([terms.highest(), hear(8, 'n2'), hear(8, 'n2')], [{ generation: 8, n: 0 }, 'tooSoon', 'tooSoon']);
  nowMs += raisePauseMs;
  deepEqual([hear(9), controller.generation], ['raised', 10]);
});

test('a claim does not take a VIP from a connected node that holds it', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const owner = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  running.write('b.yaml', service('other'));
  await owner.until(({ placements }) => placements.size === 2);
  const term = { generation: 1, n: 2 };
  const liar = agentOf(t, running, 'n2', { hello: { held: [{ address: first, term }] } });
  await liar.synced();
  equal(running.status().vips.find(({ address }) => address === first)?.node, 'n1');
});
