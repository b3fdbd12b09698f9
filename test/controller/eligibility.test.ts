// What the cluster says of nodes and endpoints counts for a VIP whenever it was said.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller } from '../../src/controller/controller.ts';
import { Eligibility, gatherMs } from '../../src/controller/eligibility.ts';
import { parsePools } from '../../src/controller/pools.ts';
import type { Owner } from '../../src/controller/records.ts';
import { type Session, Sessions } from '../../src/controller/sessions.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Hello } from '../../src/protocol/messages.ts';
import { type Address, parsePrefix } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { serviceObject } from './fixture.ts';

const vip = '10.77.0.100' as Address;
const web = 'demo/web' as ServiceKey;
const term = { generation: 1, n: 1 };

/** A controller that begins to rule over a VIP which `a` has by the records. */
function ruling(nodes: ReadonlySet<string> | null) {
  const controller = new Controller({
    records: {
      ...{ cluster: 'c', generation: 2, former: new Map(), drained: [] },
      allocations: new Map([[web, [vip]]]),
      owners: new Map<Address, Owner>([[vip, { node: 'a', term }]]),
    },
    ...{ pools: parsePools(['p=10.77.0.100-10.77.0.103']), filterByDefault: true, nowMs: () => 0 },
    onChange: () => undefined,
    onTouched: (addresses) => eligibility.review(addresses),
  });
  const eligibility = new Eligibility({ controller, endpointNodes: () => nodes });
  const quiet = () => undefined;
  const sessions = new Sessions(controller, {
    ...{ generationRaised: quiet, refused: quiet, impossibleTerm: quiet },
    progressed: () => eligibility.progressed(),
  });
  return { controller, eligibility, sessions };
}

type Ruling = ReturnType<typeof ruling>;

/** The hello of a node that is on the link of the VIP. */
const hello = (node: string, held: Hello['held'] = []): Hello => ({
  ...{ type: 'hello', version: '0', features: [], node, firewall: 'nftables', cluster: 'c', generation: 1 },
  ...{ allow: [parsePrefix('10.77.0.0/24')], onLink: [parsePrefix('10.77.0.0/24')], held },
  ...{ rules: { count: 0, digests: {} }, placements: { count: 0, digests: {} } },
});

/** Connects a node, which commits the rules that there are. */
function joined({ controller, sessions }: Ruling, said: Hello): Session {
  const session = sessions.open(said, { send: () => undefined, bufferedAmount: 0 });
  sessions.begin(session);
  const { seq } = controller.rules;
  equal(sessions.message(session, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
  return session;
}

/** Placement begins, and what nodes said before is gathered and looked at. */
async function settled({ controller, eligibility }: Ruling): Promise<void> {
  controller.owners.settle();
  eligibility.progressed();
  await sleep(2 * gatherMs);
}

const [service] = readDocument(serviceObject('web')).services;
const [local] = readDocument(serviceObject('web', { spec: { externalTrafficPolicy: 'Local' } })).services;
ok(service !== undefined && local !== undefined);

test('a node that was barred before its VIPs were published loses them once all had their time', async () => {
  const one = ruling(null);
  one.eligibility.barred = new Map([['a', 'its Node was deleted']]);
  one.controller.publish({ set: [service], remove: [] });
  const b = joined(one, hello('b'));
  equal(one.controller.owners.ownerOf(vip)?.node, 'a');
  await settled(one);
  const owner = one.controller.owners.ownerOf(vip);
  equal(owner?.node, 'b');
  one.sessions.message(b, { type: 'held', vips: [{ address: vip, term: owner.term }] });
  equal(one.controller.owners.moves.completed.NoEligibleNode, 1);
});

test('a VIP whose last local endpoint went while nobody ruled does not stay on its node', async () => {
  const one = ruling(new Set(['b']));
  one.controller.publish({ set: [local], remove: [] });
  const [a] = [joined(one, hello('a', [{ address: vip, term }])), joined(one, hello('b'))];
  equal(a.node.placements.get(vip)?.term, term);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});

test('a deleted Node is in no list any more once its agent is gone, and its VIPs move', async () => {
  const one = ruling(null);
  one.controller.publish({ set: [service], remove: [] });
  const a = joined(one, hello('a', [{ address: vip, term }]));
  joined(one, hello('b'));
  await settled(one);
  one.controller.closings.ended('a', { node: 'a', code: 1006, reason: 'the connection ended' });
  one.controller.forget('a');
  equal(one.controller.nodes.get('a'), a.node);
  one.sessions.close(a);
  one.controller.forget('a');
  one.eligibility.barred = new Map([['a', 'its Node was deleted']]);
  equal(one.controller.nodes.get('a'), undefined);
  equal(one.controller.closings.lastOf('a'), null);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});
