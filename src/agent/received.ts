// The two tables as the controller has told them: pages put together, deltas checked for gaps, digests
// compared.

import { canonicalJson, Digests, type Hash } from '../protocol/digest.ts';
import type { DeltaMessage, Page, Synced, TableDigest, TableName, Tables } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';

/** What a frame changed in a table, for the loop; `seq` is what to acknowledge once it is in the kernel. */
export interface Change<Name extends TableName = TableName> {
  readonly table: Name;
  readonly seq: number;
  readonly set: readonly Tables[Name][];
  readonly remove: readonly Address[];
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
  readonly resources: Map<Address, Tables[Name]> = new Map();
  readonly #digests: Digests;
  /** Keys whose digest is still that of before: changes come often, and digests are seldom asked for. */
  readonly #stale = new Set<Address>();
  #seq = -1;
  /** Buckets that pages have begun to replace, with what they hold so far. */
  #staged = new Map<number, Tables[Name][]>();

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
    this.#staged.clear();
  }

  page({ buckets, set }: Page<Name>): void {
    for (const bucket of buckets) {
      if (!this.#staged.has(bucket)) this.#staged.set(bucket, []);
    }
    for (const resource of set) {
      const bucket = this.#digests.bucketOf(resource.address);
      const staged = this.#staged.get(bucket);
      if (staged === undefined) this.#staged.set(bucket, [resource]);
      else staged.push(resource);
    }
  }

  /** Replaces the staged buckets, unless the result is not what the controller has: undefined then. */
  synced({ seq, count, digest }: Synced, receivedAtMs: number): Change<Name> | undefined {
    const { set, remove } = this.#replaced();
    this.#staged.clear();
    const before = new Map(
      [...set.map(({ address }) => address), ...remove].map((key) => [key, this.resources.get(key)]),
    );
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
    return { table: this.name, seq, set, remove, receivedAtMs };
  }

  delta({ from, to, set, remove }: DeltaMessage<Name>, receivedAtMs: number): Change<Name> | undefined {
    if (from !== this.#seq || to < from) return undefined;
    for (const key of remove) this.#delete(key);
    for (const resource of set) this.#set(resource);
    this.#seq = to;
    return { table: this.name, seq: to, set, remove, receivedAtMs };
  }

  /** What really differs between the staged buckets and what is there. */
  #replaced(): { set: Tables[Name][]; remove: Address[] } {
    const staged = new Map<Address, Tables[Name]>();
    for (const resources of this.#staged.values()) {
      for (const resource of resources) staged.set(resource.address, resource);
    }
    const remove: Address[] = [];
    if (this.#staged.size > 0) {
      for (const key of this.resources.keys()) {
        if (!staged.has(key) && this.#staged.has(this.#digests.bucketOf(key))) remove.push(key);
      }
    }
    const set = [...staged.values()].filter((resource) => {
      const known = this.resources.get(resource.address);
      return known === undefined || canonicalJson(known) !== canonicalJson(resource);
    });
    return { set, remove };
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
    if (this.#stale.size === staleLimit) setImmediate(() => this.#fresh());
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
