// The states of a VIP that its node holds and no client reaches.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Mapping } from '../../../src/controller/sources/fields.ts';
import { eventsOf } from '../../../src/controller/sources/kubernetes/vip-events.ts';
import {
  recordsOf,
  type VirtualIpRecord,
  virtualIpStatus,
} from '../../../src/controller/sources/kubernetes/virtual-ip.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import { vipStatus } from '../../../src/controller/status/status.ts';
import { vipState } from '../../../src/controller/status/vip-state.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { serviceObject } from '../fixture.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

const held = { address: vip, term };
const web = 'demo/web-0' as ServiceKey;

/** A record with this status. */
const recordOf = (status: Mapping): VirtualIpRecord => ({
  address: vip,
  uid: 'u',
  generation: 1,
  pool: 'p',
  services: [],
  node: null,
  status,
});

test('a VIP whose link is down or without carrier is unowned, and stays where it is', async () => {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', [held]));
  const b = joined(one, hello('b'));
  await settled(one);
  const said = () => {
    const { state, reason } = vipState(controller, vip);
    return `${state} ${reason}`;
  };
  equal(said(), 'serving Announced');
  const placed = [a.node.placements.seq, b.node.placements.seq];
  const down = { ...held, down: true } as const;
  sessions.message(a, { type: 'heldDelta', set: [down], remove: [] });
  equal(said(), 'unowned NoInterface');
  equal(
    vipState(controller, vip).message,
    'no client reaches it on a, which keeps it: its link there is down or has no carrier; ' +
      `repair the link, or vipward move ${vip} NODE`,
  );
  sessions.message(a, { type: 'heldDelta', set: [held], remove: [] });
  equal(said(), 'serving Announced');
  sessions.message(a, { type: 'held', vips: [down] });
  equal(said(), 'unowned NoInterface');
  sessions.message(a, { type: 'held', vips: [held] });
  equal(said(), 'serving Announced');
  deepEqual([a.node.placements.seq, b.node.placements.seq], placed);
  sessions.close(a);
  const again = joined(one, hello('a', [down]));
  equal(said(), 'unowned NoInterface');
  equal(controller.owners.ownerOf(vip)?.node, 'a');
  sessions.message(again, { type: 'heldDelta', set: [], remove: [vip] });
  equal(said(), 'pending Allocated');
});

test('the record of a VIP whose link is down is not ready, an Event says so, and it was held', async () => {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', [held]));
  await settled(one);
  /** The status that is written after `before`, with its condition and Events. */
  const written = (before: VirtualIpRecord) => {
    const status = virtualIpStatus(vipStatus(controller, vip), [web], before, 'now');
    const events = eventsOf({ before, status, services: [web], uidOf: () => 's' });
    const [{ type, status: is, reason } = {}] = status.conditions;
    const record = recordOf({ ...status });
    return {
      record,
      condition: [type, is, reason],
      events: events.map((event) => [event.type, event.reason]),
    };
  };
  const served = written(recordOf({}));
  deepEqual([served.condition, served.events], [['Ready', 'True', 'Announced'], []]);
  sessions.message(a, { type: 'heldDelta', set: [{ ...held, down: true }], remove: [] });
  const down = written(served.record);
  deepEqual(down.condition, ['Ready', 'False', 'NoInterface']);
  deepEqual(down.events, [['Warning', 'NoInterface']]);
  // The next controller does not take it for a first claim, and asks for its node.
  const { owners, unheld } = recordsOf([down.record], () => '');
  deepEqual([owners.get(vip)?.node, unheld], ['a', new Set()]);
  sessions.message(a, { type: 'heldDelta', set: [held], remove: [] });
  const again = written(down.record);
  deepEqual([again.condition, again.events], [['Ready', 'True', 'Announced'], []]);
});

test('a VIP that no source range is of the family of says so, and is served', async () => {
  for (const [ranges, message] of [
    [['192.0.2.0/24', 'fd00::/8'], ''],
    [['fd00::/8'], `the source ranges of ${web} name none of IPv4, so no client reaches its ports on ${vip}`],
  ] as const) {
    const one = ruling();
    one.controller.publish({ set: servicesOf(1, { loadBalancerSourceRanges: ranges }), remove: [] });
    joined(one, hello('a', [{ address: vip, term }]));
    await settled(one);
    deepEqual(vipState(one.controller, vip), { state: 'serving', reason: 'Announced', message });
    equal(vipStatus(one.controller, vip).services[0]?.message, message);
  }
});

test('a VIP names one Service of those that admit nobody, and none if it is open', async () => {
  const open = { 'vipward.io/only-service-ports': 'false' };
  for (const [annotations, message] of [
    [
      {},
      `the source ranges of demo/a and 1 more name none of IPv4, so no client reaches its ports on ${vip}`,
    ],
    [open, ''],
  ] as const) {
    const spec = { loadBalancerIP: vip, loadBalancerSourceRanges: ['fd00::/8'] };
    const objects = ['a', 'b'].map((name, index) =>
      serviceObject(name, { annotations, spec, ports: [80 + index] }),
    );
    const one = ruling();
    one.controller.publish({ set: objects.flatMap((object) => readDocument(object).services), remove: [] });
    joined(one, hello('a', [{ address: vip, term }]));
    await settled(one);
    deepEqual(vipState(one.controller, vip), { state: 'serving', reason: 'Announced', message });
  }
});

test('a Local VIP without endpoints is withdrawn and says so, also if a node is excluded', async () => {
  for (const [barred, other] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    const endpoints = new Set(['a']);
    const one = ruling({ endpointNodes: () => endpoints });
    const said = () => vipState(one.controller, vip);
    one.controller.publish({ set: servicesOf(1, { externalTrafficPolicy: 'Local' }), remove: [] });
    for (const name of ['a', 'b']) joined(one, hello(name, name === 'a' ? [held] : []));
    await settled(one);
    one.eligibility.barred = new Map([[barred, 'excluded']]);
    await settled(one);
    equal(said().state, 'serving');
    endpoints.clear();
    one.eligibility.review([vip]);
    await settled(one);
    const message = `${other}: ${web} is Local, and it has no ready endpoint there`;
    deepEqual(said(), { state: 'pending', reason: 'NoLocalEndpoints', message });
    one.eligibility.barred = new Map(['a', 'b'].map((name) => [name, 'excluded']));
    deepEqual(said(), { state: 'pending', reason: 'NoEligibleNode', message: 'a: excluded' });
  }
});

test('a VIP stays on an excluded node while any of its Services is reached there', async () => {
  for (const [isLocal, endpoints] of [
    [true, null],
    [true, new Set(['a'])],
    [false, new Set<string>()],
  ] as const) {
    const one = ruling({ endpointNodes: (key) => (key === web ? new Set() : endpoints) });
    const objects = ['web-0', 'web-1'].map((name, index) => {
      const externalTrafficPolicy = isLocal || name === 'web-0' ? 'Local' : 'Cluster';
      return serviceObject(name, {
        spec: { loadBalancerIP: vip, externalTrafficPolicy },
        ports: [80 + index],
      });
    });
    one.controller.publish({ set: objects.flatMap((object) => readDocument(object).services), remove: [] });
    joined(one, hello('a', [held]));
    one.eligibility.barred = new Map([['a', 'excluded']]);
    await settled(one);
    equal(one.controller.owners.ownerOf(vip)?.node, 'a');
  }
});

test('a VIP that open nodes cannot reach says that, and not what keeps it off an excluded node', async () => {
  for (const local of [null, new Set(['b'])]) {
    const one = ruling({ endpoints: local });
    const spec = local === null ? {} : { externalTrafficPolicy: 'Local' };
    one.controller.publish({ set: servicesOf(2, spec), remove: [] });
    one.eligibility.barred = new Map(local === null ? [['a', 'excluded']] : []);
    joined(one, hello('a'));
    const b = joined(one, { ...hello('b'), onLink: [], allow: [] });
    await settled(one);
    const said = () => vipState(one.controller, '10.77.0.101' as Address);
    const message = 'no connected and undrained node has it on its link and in its --allow';
    deepEqual(said(), { state: 'pending', reason: 'NoEligibleNode', message });
    one.controller.setDrained('b', true);
    equal(said().message.startsWith('a: '), true, said().message);
    equal(b.node.isConnected, true);
  }
});
