// Which node has a VIP that nodes refuse.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { passedTicks } from '../../../src/controller/owners/refusals.ts';
import type { Session } from '../../../src/controller/sessions.ts';
import { vipState, whyNotOn } from '../../../src/controller/status/vip-state.ts';
import type { TableName } from '../../../src/protocol/messages.ts';
import { hello, joined, type Ruling, ruling, servicesOf, term, vip } from '../ruling.ts';
import { Machine } from './machine.ts';

/** Nodes that refuse the VIP and do all else that they are told; the first one has it by the records. */
function refusing(...names: readonly string[]) {
  const ruled = ruling();
  ruled.controller.publish({ set: servicesOf(1), remove: [] });
  const machines = names.map((name) => broken(ruled, name));
  ruled.controller.owners.settle();
  // Each lets go of the VIP, and takes its refusal back, before another refuses it.
  obey(...machines.flatMap((machine) => [machine, machine]));
  return { ...ruled, ruled, machines };
}

function started(ruled: Ruling, name: string): Machine {
  const machine = new Machine(name, ruled);
  machine.connect();
  return machine;
}

function broken(ruled: Ruling, name: string): Machine {
  const machine = started(ruled, name);
  machine.breaks(vip);
  return machine;
}

/** The machines do what they are told, in turn. */
function obey(...machines: readonly Machine[]): void {
  for (let round = 0; round < 10; round++)
    for (const machine of machines) {
      machine.ackRules();
      machine.ackPlacements();
    }
}

const ownerOf = ({ controller }: Ruling): string | undefined => controller.owners.ownerOf(vip)?.node;

test('a VIP that its only node refuses goes to one that connects later', () => {
  const { ruled, machines } = refusing('a');
  equal(ownerOf(ruled), 'a');
  const other = started(ruled, 'b');
  obey(...machines, other);
  deepEqual([ownerOf(ruled), [...other.kernel.keys()]], ['b', [vip]]);
  deepEqual(ruled.controller.nodes.get('a')?.placements.get(vip), undefined);
});

test('a VIP that its node refuses goes to one that is undrained', () => {
  const { ruled, controller, machines } = refusing('a');
  controller.nodes.at('b').isDrained = true;
  const other = started(ruled, 'b');
  obey(...machines, other);
  equal(ownerOf(ruled), 'a');
  controller.setDrained('b', false);
  obey(...machines, other);
  deepEqual([ownerOf(ruled), [...other.kernel.keys()]], ['b', [vip]]);
});

test('a VIP that its node refuses and then lets go of goes to another', () => {
  const ruled = ruling();
  ruled.controller.publish({ set: servicesOf(1), remove: [] });
  const machines = ['a', 'b'].map((name) => started(ruled, name));
  ruled.controller.owners.settle();
  obey(...machines);
  const [one, other] = machines;
  deepEqual([ownerOf(ruled), [...(one?.kernel.keys() ?? [])]], ['a', [vip]]);
  one?.breaks(vip);
  obey(...machines);
  deepEqual([ownerOf(ruled), [...(other?.kernel.keys() ?? [])]], ['b', [vip]]);
});

test('nodes that refuse a VIP are asked again once a minute', () => {
  const { ruled, controller, machines } = refusing('a', 'b');
  const [one, other] = machines as [Machine, Machine];
  const inTurn = [one, one, other, other];
  const terms = (): number => controller.terms.highest().n;
  for (let tick = 0; tick < passedTicks; tick++) {
    equal(terms(), 1);
    ruled.sessions.tick();
    obey(...inTurn);
  }
  equal(terms(), 2);
  equal(ownerOf(ruled), 'a');
  one.broken.delete(vip);
  obey(...inTurn);
  deepEqual([ownerOf(ruled), [...one.kernel.keys()]], ['a', [vip]]);
});

test('a VIP that a node has refused lately waits, and an operator may move it there', () => {
  const { ruled, controller, machines } = refusing('a', 'b');
  controller.setDrained('b', true);
  controller.owners.withdraw(vip);
  obey(...machines);
  equal(ownerOf(ruled), undefined);
  deepEqual(vipState(controller, vip), { state: 'refused', reason: 'KernelRefused', message: 'a: ' });
  equal(whyNotOn(controller, vip, { name: 'a', node: controller.nodes.get('a') }), null);
});

test('a VIP that is removed and wanted again is tried on the node that has refused it', () => {
  const { ruled, controller, machines } = refusing('a');
  controller.apply({ set: [], remove: servicesOf(1).map(({ key }) => key) });
  controller.apply({ set: servicesOf(1), remove: [] });
  obey(...machines);
  equal(ownerOf(ruled), 'a');
});

test('a VIP that its node refuses stays there while the node is away', () => {
  const { ruled, machines } = refusing('a');
  const other = started(ruled, 'b');
  machines[0]?.disconnect();
  obey(other);
  deepEqual([ownerOf(ruled), [...other.kernel.keys()]], ['a', []]);
});

test('a VIP that its node refuses and lets go of before the first reading needs no other node yet', () => {
  const ruled = ruling();
  const machine = new Machine('a', ruled);
  machine.kernel.set(vip, term);
  machine.connect();
  machine.breaks(vip);
  equal(machine.session?.node.refusals.areNone, false);
  equal(ruled.controller.owners.nominations.get(vip), undefined);
});

test('a node that connects again may be chosen at once for a VIP that it had refused', () => {
  const { ruled, machines } = refusing('a', 'b');
  equal(ownerOf(ruled), 'b');
  const [one] = machines as [Machine];
  one.broken.clear();
  one.disconnect();
  one.connect();
  obey(...machines);
  deepEqual([ownerOf(ruled), [...one.kernel.keys()]], ['a', [vip]]);
});

test('a VIP that its node holds stays there, though the node refuses new rules of it', () => {
  const { ruled, sessions, machines } = refusing('a');
  const [one] = machines as [Machine];
  const session = one.session as Session;
  const why = { services: [], code: 'KernelRefused', reason: '' } as const;
  const refuse = () => sessions.message(session, { type: 'refused', table: 'rules', key: vip, ...why });
  refuse();
  one.broken.clear();
  obey(one);
  const other = started(ruled, 'b');
  obey(one, other);
  refuse();
  obey(one, other);
  deepEqual([ownerOf(ruled), [...one.kernel.keys()]], ['a', [vip]]);
});

for (const what of ['refused again', 'withdrawn'])
  test(`a VIP that is ${what} while another node commits its rules is counted there once`, () => {
    const { ruled, controller, machines } = refusing('a');
    const { owners, nodes } = controller;
    const other = started(ruled, 'b');
    const [one] = machines as [Machine];
    if (what === 'withdrawn') owners.withdraw(vip);
    else owners.refused(nodes.at('a'), vip);
    obey(one, other);
    equal(ownerOf(ruled), 'b');
    const loads = owners.candidates.for(vip).filter(({ name }) => name === 'b');
    deepEqual([loads.map(({ load }) => load), owners.nominations.on(nodes.at('b'))], [[1], []]);
  });

test('an ack costs no look at a VIP that another node had refused and that is gone', (t) => {
  const ruled = ruling();
  const { controller, sessions } = ruled;
  controller.publish({ set: servicesOf(1), remove: [] });
  const mac = '02:00:5e:10:00:02';
  const answering = sessions.open(
    { ...hello('b'), macs: [mac] },
    { send: () => undefined, bufferedAmount: 0 },
  );
  sessions.begin(answering);
  const refusing = joined(ruled, hello('a'));
  controller.owners.settle();
  const why = { services: [], code: 'AddressConflict', reason: '', mac } as const;
  sessions.message(refusing, { type: 'refused', table: 'placements', key: vip, ...why });
  controller.apply({ set: [], remove: servicesOf(1).map(({ key }) => key) });
  sessions.message(refusing, { type: 'accepted', table: 'placements', key: vip });
  const ack = (session: Session, table: TableName, { seq }: { seq: number }) =>
    equal(sessions.message(session, { type: 'ack', table, seq, commitUs: 1 }), null);
  ack(refusing, 'placements', refusing.node.placements);
  ack(answering, 'rules', controller.rules);
  controller.apply({ set: servicesOf(2).slice(1), remove: [] });
  const looks = t.mock.method(controller.owners.candidates, 'hasRules');
  ack(answering, 'rules', controller.rules);
  deepEqual(
    looks.mock.calls.filter(({ arguments: [, address] }) => address === vip),
    [],
  );
});
