// The state of a ruling controller: Services in, rules and placements out. Everything here is synchronous;
// files, sockets and timers are with those who call it (main.ts).

import type { Hello } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import { generationLeap, type Term } from '../state/term.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';
import { Allocator, type ServiceChanges } from './allocate.ts';
import { compileVip, type PortRefusal } from './compile.ts';
import { Latency } from './latency.ts';
import { Nodes } from './nodes.ts';
import { Owners } from './owners.ts';
import type { Pool } from './pools.ts';
import type { Records } from './records.ts';
import { Table } from './table.ts';

export interface ControllerInput {
  /** The records as they were read; the generation is already that of this run. */
  readonly records: Records;
  readonly pools: readonly Pool[];
  readonly filterByDefault: boolean;
  /** Something that belongs in the records has changed. */
  readonly onChange: () => void;
  /** The Services on these addresses are others now, or none. */
  readonly onTouched?: (addresses: ReadonlySet<Address>) => void;
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
  readonly owners: Owners;
  readonly latency: Latency;
  readonly refusedPorts: Map<Address, readonly PortRefusal[]> = new Map();
  readonly drained: Set<string>;
  /** True once a reading was believed: from then on agents are told what there is. */
  isPublished = false;
  lastRaise: Raise | null = null;
  readonly nowMs: () => number;
  readonly #input: ControllerInput;
  #allocator: Allocator;
  #pools: readonly Pool[];
  #cluster: string;
  #generation: number;
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
    this.#pools = pools;
    this.#allocator = new Allocator(pools, records.allocations, records.former);
    this.owners = new Owners({
      nodes: this.nodes,
      rules: this.rules,
      owners: records.owners,
      nextTerm: this.nextTerm,
      highestTerm: () => ({ generation: this.#generation, n: this.#n }),
      dropRules: (addresses) => this.#publish([], addresses),
      onChange: input.onChange,
    });
  }

  get pools(): readonly Pool[] {
    return this.#pools;
  }

  get allocator(): Allocator {
    return this.#allocator;
  }

  /** What agents pin: they obey no controller of another cluster. */
  get cluster(): string {
    return this.#cluster;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Takes on what a source knows only later than this was made; nothing was published before. */
  rule({ cluster, generation, allocations }: Pick<Records, 'cluster' | 'generation' | 'allocations'>): void {
    this.#cluster = cluster;
    this.#generation = generation;
    this.#allocator = new Allocator(this.#pools, allocations);
  }

  readonly nextTerm = (): Term => ({ generation: this.#generation, n: ++this.#n });

  /** What store.ts writes down. */
  records(): Records {
    return {
      cluster: this.cluster,
      generation: this.#generation,
      allocations: this.allocator.assigned,
      former: this.allocator.former,
      owners: this.owners.all,
      drained: [...this.drained],
    };
  }

  /** Follows a change of the Services: its cost is that of the Services it names. */
  apply(changes: ServiceChanges): void {
    this.#follow(this.allocator.apply(changes));
  }

  /** Other pools, for what is applied from now on: Services that have addresses are to be applied again. */
  usePools(pools: readonly Pool[]): void {
    this.#pools = pools;
    this.#allocator.usePools(pools);
  }

  /** The first reading that is believed: VIPs of the records that nobody asks for any more go now. */
  publish(changes: ServiceChanges): void {
    this.isPublished = true;
    this.apply(changes);
    const unasked = [...this.owners.all.keys()].filter((address) => this.rules.get(address) === undefined);
    this.owners.vanish(unasked);
    this.#input.onChange();
  }

  /** A higher generation was heard of (our records are from a backup): ours is raised above it. */
  hearGeneration({ generation: heard, node }: Pick<Hello, 'generation' | 'node'>): Heard {
    if (heard <= this.#generation) return 'known';
    if (heard > this.#generation + generationLeap) return 'impossible';
    const atMs = this.nowMs();
    if (this.lastRaise !== null && atMs - this.lastRaise.atMs < raisePauseMs) return 'tooSoon';
    this.lastRaise = { from: this.#generation, to: heard + 1, node, atMs };
    this.#generation = heard + 1;
    this.#n = 0;
    this.#input.onChange();
    return 'raised';
  }

  setDrained(name: string, isDrained: boolean): void {
    this.nodes.at(name).isDrained = isDrained;
    if (isDrained) this.drained.add(name);
    else this.drained.delete(name);
    this.#input.onChange();
    if (!isDrained) this.owners.retry();
  }

  #follow(touched: ReadonlySet<Address>): void {
    const set: VirtualIp[] = [];
    const fresh: Address[] = [];
    const gone: Address[] = [];
    for (const address of touched) {
      const users = this.allocator.usersOf(address);
      const isKnown = this.rules.get(address) !== undefined;
      if (users.length === 0) {
        this.refusedPorts.delete(address);
        if (isKnown && !this.owners.isLeaving(address)) gone.push(address);
        continue;
      }
      const { vip, refusedPorts } = compileVip(address, users, this.#input.filterByDefault);
      if (refusedPorts.length > 0) this.refusedPorts.set(address, refusedPorts);
      else this.refusedPorts.delete(address);
      set.push(vip);
      if (!isKnown || this.owners.isLeaving(address)) fresh.push(address);
    }
    // Rules go out before anything is decided about placement: they are what an open port waits for.
    this.#publish(set, []);
    if (fresh.length > 0) this.owners.appear(fresh);
    if (gone.length > 0) this.owners.vanish(gone);
    if (fresh.length > 0 || gone.length > 0) this.#input.onChange();
    this.#input.onTouched?.(touched);
  }

  #publish(set: readonly VirtualIp[], remove: readonly Address[]): void {
    for (const change of this.rules.put({ set, remove })) {
      this.latency.published(change.to);
      for (const node of this.nodes.connected()) node.stream?.publish('rules', change);
    }
  }
}
