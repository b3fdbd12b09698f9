// The two tables as the controller has told them: pages put together, deltas checked for gaps, digests
// compared.

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

/** What a frame changed in a table, for the loop; `seq` is what to acknowledge once it is in the kernel. */
export interface Change<Name extends TableName = TableName> {
  readonly table: Name;
  readonly seq: number;
  readonly set: readonly Tables[Name][];
  readonly remove: readonly Address[];
  readonly first: FirstClaims;
  /** Placements that are about to go to another node. */
  readonly quiet: readonly Address[];
  /** The frame was about the whole table: there are no other first claims than these. */
  readonly isWhole: boolean;
  /** When the frame came, in milliseconds of performance.now(). */
  readonly receivedAtMs: number;
}

/** With as many stale digests they are brought up to date in the next turn, which then takes about 1 ms. */
const staleLimit = 256;

/**
 * One table. A frame either becomes a change, or shows that something is missing: then undefined, and a
 * resync is due.
 */
export class ReceivedTable<Name extends TableName> {
  readonly name: Name;
  readonly resources: Map<Address, Tables[Name]> = new SteadyMap();
  readonly #digests: Digests;
  /** Keys whose digest is still that of before: changes come often, and digests are seldom asked for. */
  readonly #stale = new Set<Address>();
  #seq = -1;
  /** Buckets that pages have begun to replace, and what they hold so far. */
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

  /** Takes what was kept on disk, before anything is received. */
  restore(resources: Iterable<Tables[Name]>): void {
    for (const resource of resources) this.#set(resource);
  }

  /** Another stream begins: its numbers have nothing to do with those before. */
  restart(): void {
    this.#seq = -1;
    this.#forget();
  }

  /** Throws FrameError for what would be more than any table of a controller. */
  page({ buckets, set }: Page<Name>): void {
    for (const resource of set) this.#stagedItems += itemsOf(resource);
    if (this.#stagedItems > stagedLimit) {
      this.#forget();
      const most = `${stagedLimit} resources, ports and sources`;
      throw new FrameError(
        `page: the pages of ${this.name} hold more than ${most}, and no synced among them`,
      );
    }
    for (const bucket of buckets) this.#buckets.add(bucket);
    for (const resource of set) this.#staged.set(resource.address, resource);
  }

  /** Replaces the staged buckets, unless the result is not what the controller has: undefined then. */
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

  /** What really differs between the staged buckets and what is there. */
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
    // A table that is being received whole is compared in this very turn.
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
