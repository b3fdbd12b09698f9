// The state of a ruling controller: Services in, rules and placements out. What is large goes a piece a turn;
// files, sockets and timers are with those who call it (core.ts, kubernetes-core.ts, run.ts).

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hello } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import { generationLeap, highestHeard, type Term } from '../state/term.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';
import { type Allocations, Allocator, type ServiceChanges } from './allocate.ts';
import type { Pool } from './allocation/pools.ts';
import { Compilation, type CompilationInput } from './compilation.ts';
import type { PortRefusal } from './compile.ts';
import { Nodes } from './owners/nodes.ts';
import { Owners } from './owners/owners.ts';
import type { Records } from './records/records.ts';
import { ClosedConnections } from './stream/closed-connections.ts';
import { Latency } from './stream/latency.ts';
import { Table } from './stream/table.ts';

export interface ControllerInput {
  /** The records as they were read; the generation is already that of this run. */
  readonly records: Records;
  readonly pools: readonly Pool[];
  readonly filterByDefault: boolean;
  /** Something that belongs in the records has changed. */
  readonly onChange: () => void;
  readonly onTouched?: CompilationInput['onTouched'];
  /** False while it is not known whether another controller rules by a higher generation: ours stays. */
  readonly mayRaise?: () => boolean;
  readonly nowMs: () => number;
}

/** What became of a generation that a node has heard. */
export type Heard = 'known' | 'raised' | 'tooSoon' | 'impossible';

/** Each raise ends the streams of all nodes: whatever a node says, they are left in peace this long. */
export const raisePauseMs = 10_000;

/** The last time that our generation was raised above one that a node had heard. */
export interface Raise {
  readonly from: number;
  readonly to: number;
  readonly node: string;
  readonly atMs: number;
}

export class Controller {
  readonly rules: Table<'rules'> = new Table('rules');
  readonly nodes: Nodes = new Nodes();
  readonly latency: Latency;
  readonly closedConnections: ClosedConnections;
  readonly compilation: Compilation;
  readonly drained: Set<string>;
  /** True once a reading was believed: from then on agents are told what there is. */
  isPublished = false;
  lastRaise: Raise | null = null;
  /** How often a node has said that a VIP is an address which somebody has. */
  conflicts = 0;
  readonly nowMs: () => number;
  readonly #input: ControllerInput;
  #allocator: Allocator;
  #owners: Owners;
  #pools: readonly Pool[];
  #cluster: string;
  #generation: number;
  /** The nodes that were welcomed by this generation. */
  readonly #welcomed = new Set<string>();
  #n = 0;

  constructor(input: ControllerInput) {
    const { records, pools } = input;
    this.#input = input;
    this.nowMs = input.nowMs;
    this.#cluster = records.cluster;
    this.#generation = records.generation;
    this.drained = new Set(records.drained);
    for (const name of this.drained) this.nodes.at(name).isDrained = true;
    this.latency = new Latency(input.nowMs);
    this.closedConnections = new ClosedConnections(input.nowMs);
    this.#pools = pools;
    this.#allocator = this.#makeAllocator(records.allocations, records.former);
    this.#owners = this.#makeOwners(records.owners, records.unheld);
    this.compilation = new Compilation({
      ...{ controller: this, filterByDefault: input.filterByDefault, onChange: input.onChange },
      publish: (vips) => this.#publish(vips, []),
      onTouched: (touched, refused) => input.onTouched?.(touched, refused),
    });
  }

  /** By VIP, the ports that Services declare there and do not get. */
  get refusedPorts(): ReadonlyMap<Address, readonly PortRefusal[]> {
    return this.compilation.refusedPorts;
  }

  get pools(): readonly Pool[] {
    return this.#pools;
  }

  get allocator(): Allocator {
    return this.#allocator;
  }

  get owners(): Owners {
    return this.#owners;
  }

  /** What agents pin: they obey no controller of another cluster. */
  get cluster(): string {
    return this.#cluster;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Takes on what a source knows only later than this was made; nothing was published before. */
  rule({ cluster, generation, allocations, owners, unheld }: Omit<Records, 'drained' | 'former'>): void {
    this.#cluster = cluster;
    // Terms that were kept are from before this generation, unless it came back with an older backup.
    const possible = [...owners].filter(([, { term }]) => term.generation <= generation + generationLeap);
    const own = possible.reduce((most, [, { term }]) => Math.max(most, term.generation + 1), generation);
    this.#generation = own;
    this.#allocator = this.#makeAllocator(allocations);
    this.#owners = this.#makeOwners(new Map(possible), unheld);
    if (own !== generation) this.#input.onChange();
  }

  readonly nextTerm = (): Term => ({ generation: this.#generation, n: ++this.#n });

  /** What store.ts writes down. */
  records(): Records {
    return {
      cluster: this.cluster,
      generation: this.#generation,
      allocations: this.allocator.held,
      former: this.allocator.former,
      owners: this.owners.all,
      unheld: new Set(this.owners.all.keys().filter((address) => !this.nodes.served.has(address))),
      drained: [...this.drained],
    };
  }

  /** Follows a change of the Services: its cost is that of the Services it names. */
  apply(changes: ServiceChanges): void {
    this.compilation.follow(this.allocator.apply(changes));
  }

  /** Follows a large change, a piece in each of the next turns. Nothing may be applied before it resolves. */
  async applyInTurns(changes: ServiceChanges): Promise<void> {
    const steps = this.allocator.applying(changes);
    for (;;) {
      await nextTurn();
      const step = steps.next();
      if (step.done === true) return this.compilation.follow(step.value);
    }
  }

  /** Other pools, for what is applied from now on: Services that have addresses are to be applied again. */
  usePools(pools: readonly Pool[]): void {
    this.#pools = pools;
    this.#allocator.usePools(pools);
  }

  /** The first reading that is believed: VIPs of the records that nobody asks for any more go now. */
  publish(changes: ServiceChanges): void {
    this.isPublished = true;
    this.compilation.followAtOnce(this.allocator.apply(changes));
    const unasked = [...this.owners.all.keys()].filter((address) => this.rules.get(address) === undefined);
    this.owners.vanish(unasked);
    this.#input.onChange();
  }

  /** The node is told of our generation before it says hello: it will say that it has heard of it. */
  welcomed(node: string): void {
    this.#welcomed.add(node);
  }

  /**
   * A node says which generation it has obeyed. One that is not ours, or ours before we welcomed the node by
   * it, is of a controller that ruled after our records were made, from a backup then: ours is raised.
   */
  hearGeneration({ generation, node }: Pick<Hello, 'generation' | 'node'>): Heard {
    const heard = this.#hear(generation, node);
    if (heard === 'raised') this.#raise(generation + 1, node);
    if (heard === 'raised' || heard === 'known') this.#welcomed.add(node);
    return heard;
  }

  setDrained(name: string, isDrained: boolean): void {
    this.nodes.at(name).isDrained = isDrained;
    if (isDrained) this.drained.add(name);
    else this.drained.delete(name);
    this.#input.onChange();
    this.owners.retry();
  }

  /** A node that is gone for good is kept in no list: where nodes come and go they would grow for ever. */
  forget(name: string): void {
    if (!this.nodes.forget(name)) return;
    this.closedConnections.forget(name);
    this.drained.delete(name);
  }

  #hear(heard: number, node: string): Heard {
    const isOurs = heard === this.#generation && this.#welcomed.has(node);
    if (heard < this.#generation || isOurs || this.#input.mayRaise?.() === false) return 'known';
    if (heard > Math.min(this.#generation + generationLeap, highestHeard)) return 'impossible';
    const isSoon = this.lastRaise !== null && this.nowMs() - this.lastRaise.atMs < raisePauseMs;
    return isSoon ? 'tooSoon' : 'raised';
  }

  #raise(to: number, node: string): void {
    this.lastRaise = { from: this.#generation, to, node, atMs: this.nowMs() };
    this.#generation = to;
    this.#n = 0;
    this.#welcomed.clear();
    this.#input.onChange();
  }

  #makeAllocator(allocations: Allocations, former?: Allocations): Allocator {
    const allocator = new Allocator(this.#pools, allocations, former);
    allocator.isHeld = (address) => this.nodes.isHeldByAbsent(address);
    allocator.wasServed = (address) => this.nodes.served.has(address);
    return allocator;
  }

  #makeOwners(owners: Records['owners'], unheld: Records['unheld']): Owners {
    for (const [address, { node, term }] of owners) {
      this.nodes.at(node).held.set(address, term);
      if (unheld?.has(address) !== true) this.nodes.served.add(address);
    }
    return new Owners({
      ...{ nodes: this.nodes, rules: this.rules, owners, nextTerm: this.nextTerm },
      highestTerm: () => ({ generation: this.#generation, n: this.#n }),
      dropRules: (addresses) => {
        for (const address of addresses) this.nodes.served.delete(address);
        this.#publish([], addresses);
        this.compilation.hasRoom();
      },
      onChange: this.#input.onChange,
    });
  }

  #publish(set: readonly VirtualIp[], remove: readonly Address[]): void {
    for (const change of this.rules.put({ set, remove })) {
      this.latency.published(change.to);
      for (const node of this.nodes.connected()) node.stream?.publish('rules', change);
    }
  }
}
