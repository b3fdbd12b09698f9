// One table of the stream in the controller: versions, digests, and each resource serialised exactly once.

import { hash } from 'node:crypto';
import { canonicalJson, Digests } from '../../protocol/digest.ts';
import { itemsOf } from '../../protocol/items.ts';
import { pageServices, type TableDigest, type TableName, type Tables } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { SteadyMap } from '../../state/steady-map.ts';
import { frameOf } from './frame.ts';
import { type PageItem, Pages } from './pages.ts';

/** A delta ends when it reaches this size, far below the frame limit of the protocol. */
export const frameTargetBytes: number = 1024 * 1024;

/** One step of a table. `frame` is the delta, serialised once for all agents at version `from`. */
export interface Change {
  readonly from: number;
  readonly to: number;
  readonly keys: readonly Address[];
  readonly frame: Buffer;
}

interface Row<Resource> {
  readonly resource: Resource;
  readonly json: string;
  readonly bucket: number;
  /** The version that added this key, and the version that last changed it. */
  readonly sinceSeq: number;
  readonly changedSeq: number;
}

export interface TableChanges<Resource> {
  readonly set: readonly Resource[];
  readonly remove: readonly Address[];
  /** Keys of `set` that are sent even if their resource is unchanged. */
  readonly again?: ReadonlySet<Address>;
}

/** Marks that frames carry beside the resources; digests do not cover them. */
export interface Remarks {
  /** Whether a resource is a first claim. */
  readonly first: (key: Address) => boolean;
  /** Whether a resource is about to go to another node. */
  readonly quiet: (key: Address) => boolean;
}

export const sha256 = (text: string): string => hash('sha256', text);

/** A versioned table; `put` is the only way it changes. */
export class Table<Name extends TableName> {
  readonly name: Name;
  readonly #rows = new SteadyMap<Address, Row<Tables[Name]>>();
  readonly #digests = new Digests(sha256);
  readonly #remarks: Remarks | undefined;
  #seq = 0;
  #items = 0;
  /** The last snapshot, kept only while a stream is sending it. */
  #pages: WeakRef<Pages> | undefined;

  constructor(name: Name, remarks?: Remarks) {
    this.name = name;
    this.#remarks = remarks;
  }

  get seq(): number {
    return this.#seq;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** The size of the table in items; an agent takes at most stagedLimit. */
  get items(): number {
    return this.#items;
  }

  get(key: Address): Tables[Name] | undefined {
    return this.#rows.get(key)?.resource;
  }

  keys(): MapIterator<Address> {
    return this.#rows.keys();
  }

  /** The version that added a key, or undefined. */
  sinceSeq(key: Address): number | undefined {
    return this.#rows.get(key)?.sinceSeq;
  }

  /** The version in which a key last changed, or undefined. */
  changedSeq(key: Address): number | undefined {
    return this.#rows.get(key)?.changedSeq;
  }

  /**
   * Applies the changes in steps that each fit into one frame. An unchanged resource costs one serialisation.
   */
  *put({ set, remove, again }: TableChanges<Tables[Name]>): Generator<Change, void> {
    let keys: Address[] = [];
    let room = { services: pageServices, bytes: frameTargetBytes };
    for (const resource of set) {
      const json = canonicalJson(resource);
      const isNews = this.#rows.get(resource.address)?.json !== json;
      if (!isNews && again?.has(resource.address) !== true) continue;
      if (keys.length > 0 && (room.services <= 0 || room.bytes < json.length)) {
        yield this.#step(keys);
        keys = [];
        room = { services: pageServices, bytes: frameTargetBytes };
      }
      if (isNews) this.#set(resource, json);
      keys.push(resource.address);
      room = { services: room.services - weight(resource), bytes: room.bytes - json.length };
    }
    for (const key of remove) {
      const row = this.#rows.get(key);
      if (row === undefined) continue;
      this.#rows.delete(key);
      this.#items -= itemsOf(row.resource);
      this.#digests.delete(key);
      keys.push(key);
    }
    if (keys.length > 0) yield this.#step(keys);
  }

  /** The delta that brings an agent at `from` to `to`, if it has all other keys that changed since. */
  delta({ from, to }: Pick<Change, 'from' | 'to'>, keys: readonly Address[]): Buffer {
    const set: string[] = [];
    const remove: string[] = [];
    for (const key of keys) {
      const row = this.#rows.get(key);
      if (row === undefined) remove.push(`"${key}"`);
      else set.push(row.json);
    }
    const remarks = `${this.#remark('first', keys)}${this.#remark('quiet', keys)}`;
    const what = `"set":[${set}],"remove":[${remove}]${remarks}`;
    return frameOf(`{"type":"delta","table":"${this.name}","from":${from},"to":${to},${what}}`);
  }

  /** Whether a delta of these keys has too many keys or bytes for one frame: it is sent as pages instead. */
  isLarge(keys: ReadonlySet<Address>): boolean {
    if (keys.size > pageServices) return true;
    let bytes = 0;
    for (const key of keys) bytes += this.#rows.get(key)?.json.length ?? 0;
    return bytes > frameTargetBytes;
  }

  differing(have: TableDigest): number[] {
    return this.#digests.differing(have);
  }

  bucketOf(key: Address): number {
    return this.#rows.get(key)?.bucket ?? this.#digests.bucketOf(key);
  }

  /** The pages of some buckets as they are now. Agents that ask at the same version share them. */
  snapshot(buckets: readonly number[]): Pages {
    const known = this.#pages?.deref();
    if (known?.seq === this.#seq && known.isOf(buckets)) return known;
    const wanted = new Set(buckets);
    const items: PageItem[] = [];
    if (wanted.size > 0) {
      for (const { bucket, json, resource } of this.#rows.values()) {
        if (!wanted.has(bucket)) continue;
        items.push({ json, bucket, services: weight(resource) });
      }
    }
    const pages = new Pages({ table: this.name, seq: this.#seq, buckets, items });
    this.#pages = new WeakRef(pages);
    return pages;
  }

  /** The frame after the last page of a snapshot: the table's count, its digest and its first claims. */
  synced(): Buffer {
    const { name: table, size: count } = this;
    const digest = this.#digests.total();
    const whole = JSON.stringify({ type: 'synced', table, seq: this.#seq, count, digest });
    return frameOf(`${whole.slice(0, -1)}${this.#remark('first', this.#rows.keys())}}`);
  }

  /** The frame member that lists the keys with this mark; empty if no key has it. */
  #remark(name: keyof Remarks, keys: Iterable<Address>): string {
    const isTrueOf = this.#remarks?.[name];
    if (isTrueOf === undefined) return '';
    const named = [...keys].filter((key) => this.#rows.has(key) && isTrueOf(key));
    return named.length === 0 ? '' : `,"${name}":${JSON.stringify(named)}`;
  }

  #set(resource: Tables[Name], json: string): void {
    const { address } = resource;
    const known = this.#rows.get(address);
    this.#digests.set(resource, json);
    this.#items += itemsOf(resource) - (known === undefined ? 0 : itemsOf(known.resource));
    const bucket = known?.bucket ?? this.#digests.bucketOf(address);
    const changedSeq = this.#seq + 1;
    this.#rows.set(address, { resource, json, bucket, sinceSeq: known?.sinceSeq ?? changedSeq, changedSeq });
  }

  #step(keys: readonly Address[]): Change {
    const step = { from: this.#seq, to: ++this.#seq };
    return { ...step, keys, frame: this.delta(step, keys) };
  }
}

/** A resource's weight in a page: the number of its Services, at least one. */
function weight(resource: Tables[TableName]): number {
  if (!('ports' in resource)) return 1;
  let services = 0;
  let last = '';
  for (const { service } of resource.ports) {
    if (service !== last) services++;
    last = service;
  }
  return Math.max(1, services);
}
