// Agents go away with frames under way in both directions, and controllers replace each other: no VIP stays
// on two nodes, whoever is away. What was sent before a node refused a VIP, or took it after all, has arrived
// before its stream is lost: a VIP may be on two nodes otherwise, until that node is back.

import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import type { Controller } from '../../../src/controller/controller.ts';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { type RulingSetup, ruling, servicesOf } from '../ruling.ts';
import { RealAgent } from './real-agent.ts';

const names = ['a', 'b'];
const vip = parseAddress('10.77.0.100');
const added = { set: servicesOf(1), remove: [] };
const removed = { set: [], remove: added.set.map(({ key }) => key) };

/** A controller whose only Service can have no other address than the VIP. */
function made(setup: RulingSetup = {}) {
  const ruled = ruling(setup);
  ruled.controller.usePools(parsePools([`p=${vip}-${vip}`]));
  return ruled;
}

class World {
  ruled = made();
  readonly agents: RealAgent[] = [];

  constructor() {
    for (const name of names) this.agents.push(new RealAgent(name, this.agents));
  }

  get controller(): Controller {
    return this.ruled.controller;
  }
}

type Act = (world: World, agent: RealAgent) => unknown;
/** Acts by name, each with the number of its agent. */
type History = [string, number][];

/** Everything on the streams of the agent arrives, and it does what follows. True if that was anything. */
function obey(agent: RealAgent): boolean {
  let isAny = false;
  while (agent.read() || agent.say() || agent.probed()) isAny = true;
  return isAny;
}

function settle({ controller }: World): void {
  if (!controller.isPublished) controller.publish(added);
  controller.owners.settle();
}

/** A move is ordered, and given up if the new owner is stuck; what both are sent for it arrives. */
function move({ controller: { nodes, owners, rules }, agents }: World, { name }: RealAgent): void {
  const [from, to] = [owners.nodeOf(vip), nodes.get(name)];
  const isPossible = rules.get(vip) !== undefined && from !== to && from?.isConnected && to?.isConnected;
  if (!isPossible || !owners.isSettled || owners.leaving.has(vip)) return;
  if (!owners.candidates.hasRules(to, vip)) return;
  agents.find((agent) => agent.name === from.name)?.resume();
  void owners.moves.begin(vip, { to, reason: MoveReason.Asked, deadlineMs: 60_000 });
  while (agents.map(obey).includes(true));
  owners.moves.cancel(vip, 'it is given up');
  while (agents.map(obey).includes(true));
}

/** Another controller begins to rule, by the records of this one, or by those of a backup. */
function replace(world: World, saved = world.controller.records()): void {
  for (const agent of world.agents) agent.lose();
  const records = structuredClone(saved);
  world.ruled = made({ records: { ...records, generation: records.generation + 1 } });
  world.controller.publish(added);
}

const acts: Readonly<Record<string, Act>> = {
  settle,
  connect: ({ ruled }, agent) => agent.connect(ruled),
  join: ({ ruled }, agent) => {
    agent.connect(ruled);
    obey(agent);
  },
  obey: (_, agent) => obey(agent),
  read: (_, agent) => agent.read(),
  say: (_, agent) => agent.say(),
  probed: (_, agent) => agent.probed(),
  lose: (_, agent) => agent.lose(),
  leave: (_, agent) => agent.leave(),
  die: (_, agent) => agent.die(),
  start: (_, agent) => agent.start(),
  breaks: (_, agent) => {
    agent.breaks(vip);
    obey(agent);
  },
  mends: (_, agent) => {
    obey(agent);
    agent.mends(vip);
    obey(agent);
  },
  stall: (_, agent) => agent.stall(),
  resume: (_, agent) => agent.resume(),
  remove: ({ controller }) => controller.isPublished && controller.apply(removed),
  add: ({ controller }) => controller.isPublished && controller.apply(added),
  replace: (world) => replace(world),
  move,
};

function play(world: World, history: Readonly<History>): void {
  for (const [what, who] of history) acts[what]?.(world, world.agents[who] as RealAgent);
}

/** Who has the VIP once all that is under way has arrived. Who is away stays away. */
function holders({ agents }: World): readonly string[] {
  for (const agent of agents) agent.resume();
  while (agents.map(obey).includes(true));
  return agents.filter(({ kernel }) => kernel.has(vip)).map(({ name }) => name);
}

/** The first node gets the VIP, and says at a second hello that it holds it. */
const opening: History = ['settle', 'join', 'lose', 'obey', 'join'].map((what) => [what, 0]);

/** A VIP was on two nodes after these, with the opening or without. */
const found: [boolean, History][] = [
  // The owner had lost the VIP, was away when another node was given it, and took it again.
  [
    true,
    [
      ['breaks', 0],
      ['join', 1],
      ['leave', 0],
      ['mends', 0],
    ],
  ],
  // It was away, lost the VIP, and took it again from another node, which was given it by another controller.
  [
    true,
    [
      ['leave', 0],
      ['remove', 0],
      ['breaks', 0],
      ['replace', 0],
      ['settle', 0],
      ['join', 1],
      ['mends', 0],
    ],
  ],
  // The owner read only after its stream was lost that it was given the VIP.
  [
    false,
    [
      ['settle', 0],
      ['connect', 0],
      ['lose', 0],
      ['remove', 0],
      ['add', 0],
      ['join', 1],
    ],
  ],
];

test('no VIP stays on two nodes, whoever is away', () => {
  const act = fc.tuple(fc.constantFrom(...Object.keys(acts)), fc.nat(names.length - 1));
  fc.assert(
    fc.property(fc.boolean(), fc.array(act, { maxLength: 40, size: 'max' }), (isHeld, history) => {
      const world = new World();
      play(world, [...(isHeld ? opening : []), ...history]);
      const all = holders(world);
      ok(all.length <= 1, `${all} have it`);
    }),
    { numRuns: 500, examples: found },
  );
});

test('a node that is away does not take a VIP that was to move to it, and went back', () => {
  const world = new World();
  play(world, [...opening, ['join', 1], ['stall', 1]]);
  const { nodes, owners } = world.controller;
  void owners.moves.begin(vip, { to: nodes.at('b'), reason: MoveReason.Asked, deadlineMs: 60_000 });
  play(world, [
    ['read', 1],
    ['leave', 1],
  ]);
  deepEqual(holders(world), ['a']);
});

test('a node takes no VIP that it has by a backup of the records from one that is away', () => {
  const world = new World();
  play(world, opening);
  const backup = structuredClone(world.controller.records());
  const moved: History = [
    ['remove', 0],
    ['obey', 0],
    ['leave', 0],
    ['join', 1],
    ['add', 1],
    ['obey', 1],
  ];
  const replaced: History = [
    ['replace', 0],
    ['join', 0],
    ['join', 1],
    ['leave', 1],
  ];
  play(world, [...moved, ...replaced]);
  replace(world, backup);
  play(world, [
    ['join', 0],
    ['settle', 0],
  ]);
  deepEqual(holders(world), ['b']);
});
