// The two tables as received from the controller: assembles pages, checks deltas for gaps, compares digests.

import { canonicalJson, Digests, type Hash } from '../../protocol/digest.ts';
import { itemsOf } from '../../protocol/items.ts';
import {
  type DeltaMessage,
  type FirstClaims,
  type Page,
  type Synced,
  stagedLimit,
  type TableDigest,
  type TableName,
  type Tables,
} from '../../protocol/messages.ts';
import { FrameError } from '../../protocol/shape.ts';
import type { Address } from '../../state/address.ts';
import { SteadyMap } from '../../state/steady-map.ts';

/** What a frame changed in a table, for the loop. The agent acks `seq` once the kernel holds the change. */
export interface Change<Name extends TableName = TableName> {
  readonly table: Name;
  readonly seq: number;
  readonly set: readonly Tables[Name][];
  readonly remove: readonly Address[];
  readonly first: FirstClaims;
  /** Placements that are about to move to another node. */
  readonly quiet: readonly Address[];
  /** The frame covered the whole table: `first` has all first claims. */
  readonly isWhole: boolean;
  /** When the frame came, in milliseconds of performance.now(). */
  readonly receivedAtMs: number;
}

/** At this many stale digests the next turn recomputes them, in about 1 ms. */
const staleLimit = 256;

/** One table. A frame becomes a Change; undefined means that something is missing and a resync is due. */
export class ReceivedTable<Name extends TableName> {
  readonly name: Name;
  readonly resources: Map<Address, Tables[Name]> = new SteadyMap();
  readonly #digests: Digests;
  /** Keys whose digest is out of date: changes are frequent, requests for digests rare. */
  readonly #stale = new Set<Address>();
  #seq = -1;
  /** The buckets that pages are replacing, and their staged resources. */
  readonly #buckets = new Set<number>();
  #staged = new Map<Address, Tables[Name]>();
  #stagedItems = 0;

  constructor(name: Name, hash: Hash) {
    this.name = name;
    this.#digests = new Digests(hash);
  }

  get summary(): TableDigest {
    return this.#fresh().summary();
  }

  get seq(): number {
    return this.#seq;
  }

  /** Loads the resources from disk, before anything is received. */
  restore(resources: Iterable<Tables[Name]>): void {
    for (const resource of resources) this.#set(resource);
  }

  /** A new stream begins, with its own sequence numbers. */
  restart(): void {
    this.#seq = -1;
    this.#forget();
  }

  /** Stages a page. Throws FrameError beyond `stagedLimit`, which no controller's table reaches. */
  page({ buckets, set }: Page<Name>): void {
    for (const resource of set) this.#stagedItems += itemsOf(resource);
    if (this.#stagedItems > stagedLimit) {
      this.#forget();
      const most = `${stagedLimit} resources, ports and sources`;
      throw new FrameError(`page: the pages of ${this.name} hold more than ${most} without a synced`);
    }
    for (const bucket of buckets) this.#buckets.add(bucket);
    for (const resource of set) this.#staged.set(resource.address, resource);
  }

  /** Replaces the staged buckets. Undoes that and returns undefined if the digest is not the controller's. */
  synced({ seq, count, digest, first = [] }: Synced, receivedAtMs: number): Change<Name> | undefined {
    const { set, remove } = this.#replaced();
    this.#forget();
    const before = [...set.map(({ address }) => address), ...remove].map((key) => {
      return [key, this.resources.get(key)] as const;
    });
    for (const key of remove) this.#delete(key);
    for (const resource of set) this.#set(resource);
    const digests = this.#fresh();
    if (digests.count !== count || digests.total() !== digest) {
      for (const [key, resource] of before) {
        if (resource === undefined) this.#delete(key);
        else this.#set(resource);
      }
      return undefined;
    }
    this.#seq = seq;
    return { table: this.name, seq, set, remove, first, quiet: [], isWhole: true, receivedAtMs };
  }

  delta(delta: DeltaMessage<Name>, receivedAtMs: number): Change<Name> | undefined {
    const { from, to, set, remove, first = [], quiet = [] } = delta;
    if (from !== this.#seq || to < from) return undefined;
    for (const key of remove) this.#delete(key);
    for (const resource of set) this.#set(resource);
    this.#seq = to;
    return { table: this.name, seq: to, set, remove, first, quiet, isWhole: false, receivedAtMs };
  }

  /** The difference between the staged buckets and the table. */
  #replaced(): { set: Tables[Name][]; remove: Address[] } {
    const remove: Address[] = [];
    if (this.#buckets.size > 0) {
      for (const key of this.resources.keys()) {
        if (!this.#staged.has(key) && this.#buckets.has(this.#digests.bucketOf(key))) remove.push(key);
      }
    }
    const set: Tables[Name][] = [];
    for (const resource of this.#staged.values()) {
      const known = this.resources.get(resource.address);
      if (known === undefined || canonicalJson(known) !== canonicalJson(resource)) set.push(resource);
    }
    return { set, remove };
  }

  #forget(): void {
    this.#buckets.clear();
    this.#staged = new Map();
    this.#stagedItems = 0;
  }

  #set(resource: Tables[Name]): void {
    this.resources.set(resource.address, resource);
    this.#mark(resource.address);
  }

  #delete(key: Address): void {
    this.resources.delete(key);
    this.#mark(key);
  }

  #mark(key: Address): void {
    this.#stale.add(key);
    // While the whole table is being received (`#seq` < 0), `synced` needs the digests in this turn anyway.
    if (this.#stale.size === staleLimit && this.#seq >= 0) setImmediate(() => this.#fresh());
  }

  #fresh(): Digests {
    for (const key of this.#stale) {
      const resource = this.resources.get(key);
      if (resource === undefined) this.#digests.delete(key);
      else this.#digests.set(resource);
    }
    this.#stale.clear();
    return this.#digests;
  }
}
