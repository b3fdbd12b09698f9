// Whatever nodes say, and in whatever order: no VIP is given to two nodes, or to one while another has the
// address for itself, and in the end each VIP that a node may have is served by one.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import { passedTicks } from '../../../src/controller/owners/refusals.ts';
import { isServing } from '../../../src/controller/owners/serving.ts';
import { whyNotOn } from '../../../src/controller/status/vip-state.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import { type Ruling, ruling, servicesOf } from '../ruling.ts';
import { Machine } from './machine.ts';

const names = ['a', 'b', 'c'];
const vips = ['10.77.0.100', '10.77.0.101'].map(parseAddress);
const services = servicesOf(vips.length);

interface World {
  readonly ruled: Ruling;
  readonly machines: readonly Machine[];
}

type Act = (world: World, machine: Machine, key: Address) => void;

/** The controller believes its first reading, which lacks the last Service. */
function publish({ ruled: { controller, sessions }, machines }: World): void {
  if (controller.isPublished) return;
  controller.publish({ set: services.slice(0, -1), remove: services.slice(-1).map(({ key }) => key) });
  const open = machines.flatMap(({ session }) => session ?? []);
  for (const session of open) sessions.believe(session);
  for (const session of open) sessions.start(session);
}

function move({ ruled: { controller } }: World, { name }: Machine, key: Address): void {
  const node = controller.nodes.get(name);
  const isAsked = controller.rules.get(key) !== undefined && !controller.owners.leaving.has(key);
  if (node === undefined || !isAsked || whyNotOn(controller, key, { name, node }) !== null) return;
  if (!node.held.has(key))
    void controller.owners.moves.begin(key, { to: node, reason: MoveReason.Asked, deadlineMs: 60_000 });
}

function setService({ ruled: { controller } }: World, key: Address, isThere: boolean): void {
  const service = services[vips.indexOf(key)];
  if (service === undefined || !controller.isPublished) return;
  controller.apply(isThere ? { set: [service], remove: [] } : { set: [], remove: [service.key] });
}

const drain = ({ ruled: { controller } }: World, { name }: Machine, isDrained: boolean): void => {
  if (controller.nodes.get(name) !== undefined) controller.setDrained(name, isDrained);
};

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
  undrain: (world, machine) => drain(world, machine, false),
  forget: ({ ruled }, { name, session }) => session === null && ruled.controller.forget(name),
  move,
  add: (world, _, key) => setService(world, key, true),
  remove: (world, _, key) => setService(world, key, false),
  publish,
  settle: ({ ruled: { controller } }) => controller.isPublished && controller.owners.settle(),
  tick: ({ ruled }) => ruled.controller.owners.tick(),
};

function check({ ruled: { controller } }: World, after: string): void {
  const { owners, nodes, rules } = controller;
  for (const key of vips) {
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
  const { controller } = world.ruled;
  if (!controller.owners.isSettled) controller.owners.settle();
  for (const machine of world.machines) {
    drain(world, machine, false);
    for (const key of vips) {
      machine.owns(key, false);
      if (isMended) machine.broken.delete(key);
    }
  }
  // No node is asked again meanwhile, and so none takes a VIP from another that is about to take it.
  for (let tick = 0; tick < passedTicks; tick++) controller.owners.tick();
  for (let round = 0; round < 4 * names.length; round++)
    for (const machine of world.machines) {
      machine.ackRules();
      machine.ackPlacements();
    }
}

function checkEnd({ ruled: { controller }, machines }: World): void {
  const { owners, nodes, rules } = controller;
  const there = machines.filter(({ session }) => session !== null);
  for (const key of vips.filter((vip) => rules.get(vip) !== undefined)) {
    const holders = there.filter(({ kernel }) => kernel.has(key));
    ok(holders.length <= 1, `${holders.map(({ name }) => name)} hold ${key}`);
    const node = owners.nodeOf(key);
    const isPossible = there.some(({ broken }) => !broken.has(key));
    if (owners.ownerOf(key) === undefined)
      ok(!isPossible || nodes.losses()(key, undefined), `${key} has no node`);
    else
      ok(!isPossible || !node?.isConnected || isServing(owners, key), `${node?.name} does not serve ${key}`);
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
      const ruled = ruling({ count: vips.length });
      const world: World = { ruled, machines: names.map((name) => new Machine(name, ruled)) };
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
