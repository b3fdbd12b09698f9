// Whatever nodes say, and in whatever order: no VIP is given to two nodes, or to one while another has the
// address for itself, and in the end each VIP that a node may have is served by one.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import { isServing } from '../../../src/controller/owners/serving.ts';
import type { Session } from '../../../src/controller/sessions.ts';
import { whyNotOn } from '../../../src/controller/status/vip-state.ts';
import type { AgentMessage } from '../../../src/protocol/messages.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import type { Term } from '../../../src/state/term.ts';
import { hello, type Ruling, ruling, servicesOf } from '../ruling.ts';

const names = ['a', 'b', 'c'];
const vips = ['10.77.0.100', '10.77.0.101'].map(parseAddress);
const services = servicesOf(vips.length);
const wire = { send: () => undefined, bufferedAmount: 0 };

/** A node with what its kernel has; it says only what is true. */
class Machine {
  readonly name: string;
  readonly #ruling: Ruling;
  readonly kernel = new Map<Address, Term>();
  readonly own = new Set<Address>();
  readonly broken = new Set<Address>();
  session: Session | null = null;

  constructor(name: string, ruled: Ruling) {
    this.name = name;
    this.#ruling = ruled;
  }

  connect(): void {
    const { sessions } = this.#ruling;
    this.session = sessions.open(hello(this.name, this.#held), wire);
    for (const key of this.own) this.#refuse('rules', key);
    sessions.begin(this.session);
  }

  disconnect(): void {
    if (this.session !== null) this.#ruling.sessions.close(this.session);
    this.session = null;
  }

  ackRules(): void {
    const { rules } = this.#ruling.controller;
    for (const key of this.own) if (rules.get(key) !== undefined) this.#refuse('rules', key);
    this.#ack('rules');
  }

  /** Takes and lets go of addresses as it was told. */
  ackPlacements(): void {
    if (this.session === null) return;
    for (const key of vips) {
      const placed = this.session.node.placements.get(key);
      if (placed === undefined) this.kernel.delete(key);
      else if (this.broken.has(key)) this.#refuse('placements', key);
      else if (!this.own.has(key)) this.kernel.set(key, placed.term);
    }
    this.#say({ type: 'held', vips: this.#held });
    this.#ack('placements');
  }

  /** The node has the address for itself from now on, or no longer. */
  owns(key: Address, isOwn: boolean): void {
    if (isOwn) {
      this.own.add(key);
      this.kernel.delete(key);
      this.#refuse('rules', key);
      this.#say({ type: 'held', vips: this.#held });
    } else if (this.own.delete(key)) this.#say({ type: 'accepted', table: 'rules', key });
  }

  breaks(key: Address, isBroken: boolean): void {
    if (isBroken) this.broken.add(key);
    else if (this.broken.delete(key)) this.#say({ type: 'accepted', table: 'placements', key });
  }

  get #held() {
    return [...this.kernel].map(([address, term]) => ({ address, term }));
  }

  #refuse(table: 'rules' | 'placements', key: Address): void {
    const code = table === 'rules' ? 'AddressConflict' : 'KernelRefused';
    this.#say({ type: 'refused', table, key, services: [], code, reason: '' });
  }

  #ack(table: 'rules' | 'placements'): void {
    const seq = this.session?.stream.sentSeq(table) ?? null;
    if (seq !== null) this.#say({ type: 'ack', table, seq, commitUs: 1 });
  }

  #say(message: AgentMessage): void {
    if (this.session !== null) equal(this.#ruling.sessions.message(this.session, message), null);
  }
}

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
  breaks: (_, machine, key) => machine.breaks(key, true),
  mends: (_, machine, key) => machine.breaks(key, false),
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

/** Every machine is well and says so, until nothing changes any more. */
function heal(world: World): void {
  publish(world);
  const { controller } = world.ruled;
  if (!controller.owners.isSettled) controller.owners.settle();
  for (const machine of world.machines) {
    drain(world, machine, false);
    for (const key of vips) {
      machine.owns(key, false);
      machine.breaks(key, false);
    }
  }
  for (let round = 0; round < 6; round++)
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
    if (owners.ownerOf(key) === undefined)
      ok(there.length === 0 || nodes.losses()(key, undefined), `${key} has no node`);
    else ok(!node?.isConnected || isServing(owners, key), `${node?.name} does not serve ${key}`);
  }
}

test('no VIP is given to two nodes or to a wrong one, and none is lost, whatever nodes do', () => {
  const act = fc.tuple(
    fc.constantFrom(...Object.keys(acts)),
    fc.nat(names.length - 1),
    fc.nat(vips.length - 1),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40, size: 'max' }), (history) => {
      const ruled = ruling({ count: vips.length });
      const world: World = { ruled, machines: names.map((name) => new Machine(name, ruled)) };
      for (const [what, who, which] of history) {
        const [machine, key] = [world.machines[who], vips[which]];
        if (machine !== undefined && key !== undefined) acts[what]?.(world, machine, key);
        check(world, `${what} ${machine?.name} ${key}`);
      }
      heal(world);
      check(world, 'the end');
      checkEnd(world);
    }),
    { numRuns: 500 },
  );
});
