// Digests of a table in 256 buckets. They depend on content alone, so all controllers compute the same.

import type { Address } from '../state/address.ts';
import { SteadyMap } from '../state/steady-map.ts';
import type { Placement, VipPort, VirtualIp } from '../state/virtual-ip.ts';
import type { TableDigest } from './messages.ts';

const bucketCount = 256;

/** SHA-256 of a UTF-8 text in lower-case hex. The caller passes it in, because this folder does no I/O. */
export type Hash = (text: string) => string;

type Resource = VirtualIp | Placement;

/**
 * The only JSON text of a resource: members in the order of docs/protocol.md, no white space, no other
 * members. Frames contain it, and digests are computed from it.
 */
export function canonicalJson(resource: Resource): string {
  if ('term' in resource) {
    const { address, term } = resource;
    return JSON.stringify({ address, term: { generation: term.generation, n: term.n } });
  }
  const { address, filtered, egress, ports } = resource;
  const start = `{"address":"${address}","filtered":${filtered},"egress":${egress},"ports":[`;
  return `${start}${ports.map(portJson).join()}]}`;
}

/** No character in these values needs a JSON escape: their parsers refuse all that would. */
function portJson({ protocol, port, service, delivery, sources }: VipPort): string {
  const ranges = sources === null ? 'null' : `[${sources.map((prefix) => `"${prefix}"`).join()}]`;
  const names = `"service":"${service}","delivery":"${delivery}"`;
  return `{"protocol":"${protocol}","port":${port},${names},"sources":${ranges}}`;
}

const bytesAround = '{"protocol":"","port":,"service":"","delivery":"","sources":},'.length;

/** The most bytes that a port adds to the canonical JSON of its VIP, one comma included. */
export function bytesOfPort({ protocol, port, service, delivery, sources }: VipPort): number {
  const names = protocol.length + String(port).length + service.length + delivery.length;
  const ranges =
    sources?.reduce((sum, { length }) => sum + length + '"",'.length, '[]'.length) ?? 'null'.length;
  return bytesAround + names + ranges;
}

const emptyHex = '0'.repeat(16);

interface Entry {
  readonly bucket: number;
  readonly high: number;
  readonly low: number;
}

/** Keeps the digests of one table; each change of a resource costs one hash. */
export class Digests {
  readonly #hash: Hash;
  readonly #entries = new SteadyMap<Address, Entry>();
  readonly #high = new Uint32Array(bucketCount);
  readonly #low = new Uint32Array(bucketCount);
  readonly #counts = new Uint32Array(bucketCount);
  /** The digests of buckets, cached until the bucket changes. */
  readonly #hex = new Map<number, string>();

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  get count(): number {
    return this.#entries.size;
  }

  /** `json` is the canonical text of the resource, if the caller already has it. */
  set(resource: Resource, json: string = canonicalJson(resource)): void {
    const known = this.#entries.get(resource.address);
    if (known !== undefined) this.#toggle(known, -1);
    const hash = this.#hash(json);
    // V8 stores signed 32-bit numbers in place, and larger ones as separate objects.
    const entry = {
      bucket: known?.bucket ?? this.bucketOf(resource.address),
      high: Number.parseInt(hash.slice(0, 8), 16) | 0,
      low: Number.parseInt(hash.slice(8, 16), 16) | 0,
    };
    this.#entries.set(resource.address, entry);
    this.#toggle(entry, 1);
  }

  delete(key: Address): void {
    const known = this.#entries.get(key);
    if (known === undefined) return;
    this.#entries.delete(key);
    this.#toggle(known, -1);
  }

  /** The bucket of a key: the first byte of its hash. */
  bucketOf(key: Address): number {
    return Number.parseInt(this.#hash(key).slice(0, 2), 16);
  }

  /** The digests of the non-empty buckets by number, and the number of resources. */
  summary(): TableDigest {
    const digests: Record<string, string> = {};
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      if (this.#counts[bucket] !== 0) digests[bucket] = this.#bucketHex(bucket);
    }
    return { count: this.count, digests };
  }

  /** One text for the whole table: the hash of all bucket digests in order. */
  total(): string {
    let text = '';
    for (let bucket = 0; bucket < bucketCount; bucket++) text += this.#bucketHex(bucket);
    return this.#hash(text).slice(0, 16);
  }

  /** The buckets whose content differs from the other side's. */
  differing(other: TableDigest): number[] {
    const buckets: number[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      if ((other.digests[bucket] ?? emptyHex) !== this.#bucketHex(bucket)) buckets.push(bucket);
    }
    return buckets;
  }

  #bucketHex(bucket: number): string {
    const [high = 0, low = 0] = [this.#high[bucket], this.#low[bucket]];
    if (high === 0 && low === 0) return emptyHex;
    const known = this.#hex.get(bucket);
    if (known !== undefined) return known;
    const hex = (value: number) => value.toString(16).padStart(8, '0');
    const made = hex(high) + hex(low);
    this.#hex.set(bucket, made);
    return made;
  }

  #toggle(entry: Entry, count: 1 | -1): void {
    this.#hex.delete(entry.bucket);
    this.#high[entry.bucket] = (this.#high[entry.bucket] ?? 0) ^ entry.high;
    this.#low[entry.bucket] = (this.#low[entry.bucket] ?? 0) ^ entry.low;
    this.#counts[entry.bucket] = (this.#counts[entry.bucket] ?? 0) + count;
  }
}
