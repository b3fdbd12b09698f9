// A VIP that is given to another node before the old one has let go: once that has, the new owner announces
// again, because a host that asked meanwhile may have heard the old owner.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Eligibility } from '../../src/controller/owners/eligibility.ts';
import type { Status } from '../../src/controller/status/status.ts';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, untilStatus } from './fixture.ts';
import { agentOf, type TestAgent } from './test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };
const web = service('web', { spec: { externalTrafficPolicy: 'Local' } });

/** How often an agent was sent the VIP, to take it or to announce it again, after its first synced. */
function tolds({ heard }: TestAgent): number {
  return heard.filter(
    (message) =>
      message.type === 'delta' &&
      message.table === 'placements' &&
      message.set.some(({ address }) => address === first),
  ).length;
}

const isOn =
  (name: string) =>
  ({ vips }: Status): boolean =>
    vips.some(({ address, node, state }) => address === first && node === name && state === 'serving');

/** `n1` serves a Local VIP and commits nothing from now on; `n2` has the rules. */
async function served(t: TestContext) {
  const running = await runningController(t, { files: { 'a.yaml': web } });
  let nodes: ReadonlySet<string> = new Set(['n1']);
  const eligibility = new Eligibility({ controller: running.controller, endpointNodes: () => nodes });
  const old = agentOf(t, running, 'n1');
  await untilStatus(running, isOn('n1'));
  const next = agentOf(t, running, 'n2');
  await next.synced();
  await untilStatus(running, (status) => status.nodes.every(({ seq }) => seq === status.seq));
  const endpointsOn = (...names: readonly string[]) => {
    nodes = new Set(names);
    eligibility.review([first]);
  };
  old.acks = false;
  return { running, old, next, endpointsOn };
}

/** The VIP was withdrawn from `n1`, which has not let go, and `n2` announces it. */
async function withdrawn(t: TestContext) {
  const all = await served(t);
  const { old, next, endpointsOn, running } = all;
  endpointsOn();
  await old.until(({ placements }) => !placements.has(first));
  endpointsOn('n2');
  await untilStatus(running, isOn('n2'));
  equal(tolds(next), 1);
  return all;
}

test('the new owner of a withdrawn VIP announces again once the old owner has let go', limit, async (t) => {
  const { old, next } = await withdrawn(t);
  const { placements } = next;
  const given = placements.get(first);
  old.commit('placements');
  await next.until((agent) => tolds(agent) === 2);
  deepEqual(placements.get(first), given);
  // It lets go once, whatever it sends after that.
  old.send({ type: 'held', vips: [] });
  old.send({ type: 'heldDelta', set: [], remove: [first] });
  old.send({ type: 'ack', table: 'rules', seq: 99, commitUs: 1 });
  await old.untilClosed();
  equal(tolds(next), 2);
});

test('the new owner announces again even if the old one was away when it let go', limit, async (t) => {
  const { running, old, next } = await withdrawn(t);
  await old.close();
  const back = agentOf(t, running, 'n1', { hello: { held: [] } });
  await next.until((agent) => tolds(agent) === 2);
  await back.synced();
});

test('a new owner that was away when the old one let go announces when it is back', limit, async (t) => {
  const { running, old, next } = await withdrawn(t);
  await next.close();
  old.commit('placements');
  await untilStatus(running, () => running.controller.nodes.get('n1')?.held.size === 0);
  const hello = { ...next.hello(), cluster: null };
  const back = agentOf(t, running, 'n2', { hello });
  await back.until((agent) => tolds(agent) === 1);
  equal(back.heard.filter(({ type }) => type === 'page').length, 0);
  await back.close();
  const later = agentOf(t, running, 'n2', { hello });
  await later.synced();
  running.write('b.yaml', service('api'));
  await later.until(({ rules }) => rules.size > 0);
  equal(tolds(later), 0);
});
