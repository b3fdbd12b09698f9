// The state of a ruling controller: Services in, rules and placements out. It splits large work over turns.
// Its callers own files, sockets and timers (file-core.ts, kubernetes-core.ts, run.ts).

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Address } from '../state/address.ts';
import { generationLeap } from '../state/term.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';
import { type Allocations, Allocator } from './allocate.ts';
import type { Pool } from './allocation/pools.ts';
import { Compilation, type CompilationInput } from './compilation.ts';
import type { PortRefusal } from './compile.ts';
import { Nodes } from './owners/nodes.ts';
import { Owners } from './owners/owners.ts';
import { Welcomed } from './owners/welcomed.ts';
import type { Records } from './records/records.ts';
import type { AllocationChanges, ServiceChanges } from './service.ts';
import { ClosedConnections } from './stream/closed-connections.ts';
import { Latency } from './stream/latency.ts';
import { Table } from './stream/table.ts';
import { Terms, type TermsInput } from './terms.ts';

export interface ControllerInput extends TermsInput {
  /** The records as they were read, with the generation of this run. */
  readonly records: Records;
  readonly pools: readonly Pool[];
  readonly filterByDefault: boolean;
  readonly onTouched?: CompilationInput['onTouched'];
}

export class Controller {
  readonly rules: Table<'rules'> = new Table('rules');
  readonly nodes: Nodes = new Nodes();
  readonly terms: Terms;
  readonly latency: Latency;
  readonly closedConnections: ClosedConnections;
  readonly compilation: Compilation;
  /** The ports that Services declare and do not get, by VIP. */
  readonly refusedPorts: ReadonlyMap<Address, readonly PortRefusal[]>;
  readonly drained: Set<string>;
  /** True once a reading was believed: from then on agents are sent rules and placements. */
  isPublished = false;
  /** How often a node refused a VIP because another host has the address. */
  conflicts = 0;
  /** Called when addresses came free without a change of Services. */
  onFreed: () => void = () => undefined;
  readonly nowMs: () => number;
  readonly #input: ControllerInput;
  #allocator: Allocator;
  #owners: Owners;
  #pools: readonly Pool[];
  #cluster: string;

  constructor(input: ControllerInput) {
    const { records, pools } = input;
    this.#input = input;
    this.nowMs = input.nowMs;
    this.#cluster = records.cluster;
    const isKnown = (name: string) => this.nodes.get(name) !== undefined;
    this.terms = new Terms(records.generation, new Welcomed(isKnown), input);
    this.drained = new Set(records.drained);
    for (const name of this.drained) this.nodes.at(name).isDrained = true;
    this.latency = new Latency(input.nowMs);
    this.closedConnections = new ClosedConnections({ nowMs: input.nowMs, isKnown });
    this.#pools = pools;
    this.#allocator = this.#makeAllocator(records.allocations, records.former);
    this.#owners = this.#makeOwners(records.owners, records.unheld);
    this.compilation = new Compilation({
      controller: this,
      filterByDefault: input.filterByDefault,
      onChange: input.onChange,
      publish: (vips) => this.#publish(vips, []),
      onTouched: (touched, refused) => input.onTouched?.(touched, refused),
    });
    this.refusedPorts = this.compilation.refusedPorts;
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

  /** The name that agents pin: they obey no controller of another cluster. */
  get cluster(): string {
    return this.#cluster;
  }

  get generation(): number {
    return this.terms.generation;
  }

  /** Takes over the records of a source that reads them after construction. Nothing was published before. */
  rule({ cluster, generation, allocations, owners, unheld }: Omit<Records, 'drained' | 'former'>): void {
    this.#cluster = cluster;
    // Recorded terms are below this generation, unless the Lease was restored from an older backup.
    const possible = [...owners].filter(([, { term }]) => term.generation <= generation + generationLeap);
    const own = possible.reduce((most, [, { term }]) => Math.max(most, term.generation + 1), generation);
    this.terms.rule(own);
    this.#allocator = this.#makeAllocator(allocations);
    this.#owners = this.#makeOwners(new Map(possible), unheld);
    if (own !== generation) this.#input.onChange();
  }

  /** The state that store.ts writes. */
  records(): Records {
    return {
      cluster: this.cluster,
      generation: this.generation,
      allocations: this.allocator.held,
      former: this.allocator.former,
      owners: this.owners.all,
      unheld: new Set(this.owners.all.keys().filter((address) => !this.nodes.served.has(address))),
      drained: [...this.drained],
    };
  }

  /** Applies a change of Services. The cost grows with the Services it names. */
  apply(changes: AllocationChanges): void {
    this.compilation.follow(this.allocator.apply(changes));
  }

  /** Applies a large change, one piece a turn. Nothing else may be applied before it resolves. */
  async applyInTurns(changes: AllocationChanges): Promise<void> {
    const steps = this.allocator.applying(changes);
    for (;;) {
      await nextTurn();
      const step = steps.next();
      if (step.done === true) return this.compilation.follow(step.value);
    }
  }

  /** Uses these pools for later changes. The caller applies again the Services that have addresses. */
  usePools(pools: readonly Pool[]): void {
    this.#pools = pools;
    this.#allocator.usePools(pools);
  }

  /** Publishes the first believed reading, and removes recorded VIPs that no Service uses any more. */
  publish(changes: ServiceChanges): void {
    this.isPublished = true;
    this.compilation.followAtOnce(this.allocator.apply(changes));
    const unasked = [...this.owners.all.keys()].filter((address) => this.rules.get(address) === undefined);
    this.owners.vanish(unasked);
    this.#input.onChange();
  }

  setDrained(name: string, isDrained: boolean): void {
    this.nodes.at(name).isDrained = isDrained;
    if (isDrained) this.drained.add(name);
    else this.drained.delete(name);
    this.#input.onChange();
    this.owners.retry();
  }

  /** A node that had these addresses is not away any more: Services that wait may get those that are free. */
  freed(addresses: readonly Address[]): void {
    if (this.allocator.freed(addresses)) this.onFreed();
  }

  /** Removes a deleted node from all lists: where nodes come and go they would grow for ever. */
  forget(name: string): void {
    const isObjecting = this.nodes.get(name)?.hasObjections === true;
    const held = [...(this.nodes.get(name)?.held.keys() ?? [])];
    if (!this.nodes.forget(name)) return;
    this.freed(held);
    this.closedConnections.forget(name);
    this.drained.delete(name);
    if (isObjecting) this.owners.retry();
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
      if (!unheld.has(address)) this.nodes.served.add(address);
    }
    return new Owners({
      nodes: this.nodes,
      rules: this.rules,
      owners,
      nextTerm: this.terms.next,
      highestTerm: this.terms.highest,
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
