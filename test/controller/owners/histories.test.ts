// Whatever nodes say, and in whatever order: no VIP is given to two nodes, or to one while another has the
// address for itself, and in the end each VIP that a node may have is served by one.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import type { Controller } from '../../../src/controller/controller.ts';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import { passedTicks } from '../../../src/controller/owners/refusals.ts';
import { isServing } from '../../../src/controller/owners/serving.ts';
import { chooseNode } from '../../../src/controller/place.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { whyNotOn } from '../../../src/controller/status/vip-state.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import { type Ruling, ruling, servicesOf } from '../ruling.ts';
import { Machine } from './machine.ts';

const names = ['a', 'b', 'c'];
const services = servicesOf(2);
/** By two choices of the pools, the second of which has none of the first addresses. */
const vips = ['10.77.0.100', '10.77.0.101', '10.77.0.150', '10.77.0.151'].map(parseAddress);
const poolChoices = ['p=10.77.0.100-10.77.0.199', 'p=10.77.0.150-10.77.0.199'].map((pool) =>
  parsePools([pool]),
);

class World {
  ruled: Ruling = ruling({ count: services.length });
  readonly machines: readonly Machine[] = names.map((name) => new Machine(name, this.ruled));
  /** The Services in the source: at first without the last one. */
  readonly wanted: Set<ServiceManifest> = new Set(services.slice(0, -1));
  readonly barred: Set<string> = new Set();

  get controller(): Controller {
    return this.ruled.controller;
  }

  /** All addresses that are VIPs, or were. */
  get keys(): Set<Address> {
    return new Set([...vips, ...this.controller.rules.keys()]);
  }
}

type Act = (world: World, machine: Machine, key: Address) => void;

/** The controller believes its first reading. */
function publish({ ruled: { controller, sessions }, machines, wanted }: World): void {
  if (controller.isPublished) return;
  const gone = new Set(services).difference(wanted);
  controller.publish({ set: [...wanted], remove: [...gone].map(({ key }) => key) });
  const open = machines.flatMap(({ session }) => session ?? []);
  for (const session of open) sessions.believe(session);
  for (const session of open) sessions.start(session);
}

/** The controller is started again, with its records. */
function restart(world: World): void {
  const { controller } = world;
  const records = { ...controller.records(), generation: controller.generation + 1 };
  world.ruled = ruling({ records });
  for (const machine of world.machines) machine.follow(world.ruled);
  bar(world);
}

function move({ controller }: World, { name }: Machine, key: Address): void {
  const node = controller.nodes.get(name);
  const isAsked = controller.rules.get(key) !== undefined && !controller.owners.leaving.has(key);
  if (node === undefined || !isAsked || whyNotOn(controller, key, { name, node }) !== null) return;
  if (!node.held.has(key))
    void controller.owners.moves.begin(key, { to: node, reason: MoveReason.Asked, deadlineMs: 60_000 });
}

function setService({ controller, wanted }: World, key: Address, isThere: boolean): void {
  const service = services[vips.indexOf(key) % services.length];
  if (service === undefined) return;
  if (isThere) wanted.add(service);
  else wanted.delete(service);
  if (controller.isPublished)
    controller.apply(isThere ? { set: [service], remove: [] } : { set: [], remove: [service.key] });
}

const drain = ({ controller }: World, { name }: Machine, isDrained: boolean): void => {
  if (controller.nodes.get(name) !== undefined) controller.setDrained(name, isDrained);
};

/** The VIPs of a drained node are moved to others that can have them. */
function empty({ controller: { owners, nodes } }: World, { name }: Machine): void {
  if (nodes.get(name)?.isDrained !== true) return;
  for (const [address] of [...owners.all].filter(([, { node }]) => node === name)) {
    const chosen = chooseNode(address, owners.candidates.ready(address, name));
    const order = { reason: MoveReason.Drained, deadlineMs: 60_000 };
    if (chosen !== null) void owners.moves.begin(address, { to: nodes.at(chosen), ...order });
  }
}

function bar({ ruled: { eligibility }, barred }: World): void {
  eligibility.barred = new Map([...barred].map((name) => [name, 'is excluded']));
}

/** The Node is deleted: its VIPs leave it, and it is forgotten. */
function deleteNode({ ruled: { controller, eligibility } }: World, { name }: Machine): void {
  eligibility.gone = new Set([name]);
  controller.forget(name);
}

function usePools({ controller, wanted }: World, choice: number): void {
  controller.usePools(poolChoices[choice] ?? []);
  if (controller.isPublished) controller.apply({ set: [...wanted], remove: [] });
}

const letGo = ({ controller }: World): void =>
  controller.apply({ set: [], remove: [], gone: new Map(controller.allocator.outgoing) });

const acts: Readonly<Record<string, Act>> = {
  connect: (_, machine) => machine.connect(),
  disconnect: (_, machine) => machine.disconnect(),
  ackRules: (_, machine) => machine.ackRules(),
  ackPlacements: (_, machine) => machine.ackPlacements(),
  owns: (_, machine, key) => machine.owns(key, true),
  gives: (_, machine, key) => machine.owns(key, false),
  breaks: (_, machine, key) => machine.breaks(key),
  mends: (_, machine, key) => machine.broken.delete(key),
  drain: (world, machine) => drain(world, machine, true),
  empty,
  undrain: (world, machine) => drain(world, machine, false),
  bar: (world, { name }) => {
    world.barred.add(name);
    bar(world);
  },
  unbar: (world, { name }) => world.barred.delete(name) && bar(world),
  forget: ({ controller }, { name, session }) => session === null && controller.forget(name),
  deleteNode,
  move,
  add: (world, _, key) => setService(world, key, true),
  remove: (world, _, key) => setService(world, key, false),
  usePools: (world, _, key) => usePools(world, vips.indexOf(key) >> 1),
  letGo: (world) => world.controller.isPublished && letGo(world),
  publish,
  settle: ({ controller }) => controller.isPublished && controller.owners.settle(),
  review: ({ ruled: { eligibility }, keys }) => eligibility.review(keys),
  tick: ({ controller, ruled }) => {
    controller.owners.tick();
    ruled.sessions.tick();
  },
  restart,
};

/** Each node is counted with the VIPs that it owns or is nominated for, and with no others. */
function checkLoads({ owners, nodes }: Controller, after: string): void {
  const { nominations, candidates } = owners;
  for (const node of nodes.all()) {
    const nominated = nominations.on(node);
    ok(
      nominated.every((key) => nominations.get(key) === node),
      `${node.name} is nominated for ${nominated} after ${after}`,
    );
    const isOwner = [...owners.all.values()].some(({ node: name }) => name === node.name);
    equal(candidates.isLoaded(node), isOwner || nominated.length > 0, `${node.name} after ${after}`);
  }
}

function check({ controller, keys, wanted }: World, after: string): void {
  const { allocator, isPublished, owners, nodes, rules } = controller;
  checkLoads(controller, after);
  const asked = isPublished ? [...wanted].flatMap(({ key }) => allocator.addressesOf(key)) : [];
  for (const key of asked) ok(rules.get(key) !== undefined, `${key} has no rules after ${after}`);
  for (const key of keys) {
    if (rules.get(key) === undefined) equal(owners.nominations.get(key), undefined, `${key} after ${after}`);
    const told = [...nodes.all()].filter(({ placements }) => placements.get(key) !== undefined);
    if (owners.moves.has(key)) continue;
    ok(told.length <= 1, `${key} is given to ${told.map(({ name }) => name)} after ${after}`);
    const [node] = told;
    ok(
      !node?.isConnected || !nodes.losses()(key, node),
      `${key} is given to ${node?.name} though another node has it, after ${after}`,
    );
  }
}

/** Nodes that may be asked do all that they are told, until nothing changes any more. */
function heal(world: World, isMended: boolean): void {
  publish(world);
  const { controller, ruled } = world;
  if (!controller.owners.isSettled) controller.owners.settle();
  for (const machine of world.machines) {
    drain(world, machine, false);
    for (const key of world.keys) {
      machine.owns(key, false);
      if (isMended) machine.broken.delete(key);
    }
  }
  obey(world);
  for (let tick = 0; tick < passedTicks; tick++) ruled.sessions.tick();
  obey(world);
}

function obey(world: World): void {
  for (let round = 0; round < 4 * names.length; round++) {
    for (const machine of world.machines) {
      machine.ackRules();
      machine.ackPlacements();
    }
    letGo(world);
    world.ruled.eligibility.review(world.keys);
  }
}

function checkEnd({ controller, machines, keys, barred }: World): void {
  const { owners, nodes, rules } = controller;
  const there = machines.filter(({ session }) => session !== null);
  for (const key of [...keys].filter((vip) => rules.get(vip) !== undefined)) {
    const holders = there.filter(({ kernel }) => kernel.has(key));
    ok(holders.length <= 1, `${holders.map(({ name }) => name)} hold ${key}`);
    const [owner, node] = [owners.ownerOf(key), owners.nodeOf(key)];
    const isPossible = there.some(({ name, broken }) => !broken.has(key) && !barred.has(name));
    if (!isPossible) continue;
    if (owner === undefined) ok(nodes.losses()(key, undefined), `${key} has no node`);
    else {
      const isAllowed = !barred.has(owner.node) || nodes.objectorTo(key) !== undefined;
      ok(isAllowed, `${key} is on ${owner.node}, which may have no VIP`);
      ok(!node?.isConnected || isServing(owners, key), `${owner.node} does not serve ${key}`);
    }
  }
}

test('no VIP is given to two nodes or to a wrong one, and none is lost, whatever nodes do', () => {
  const act = fc.tuple(
    fc.constantFrom(...Object.keys(acts)),
    fc.nat(names.length - 1),
    fc.nat(vips.length - 1),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40, size: 'max' }), fc.boolean(), (history, isMended) => {
      const world = new World();
      for (const [what, who, which] of history) {
        const [machine, key] = [world.machines[who], vips[which]];
        if (machine !== undefined && key !== undefined) acts[what]?.(world, machine, key);
        check(world, `${what} ${machine?.name} ${key}`);
      }
      heal(world, isMended);
      check(world, 'the end');
      checkEnd(world);
    }),
    { numRuns: 500 },
  );
});
