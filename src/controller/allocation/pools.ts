// Address pools, from `NAME=RANGE[,RANGE...]`: which addresses are inside, and which are free.

import { UsageError } from '../../process/usage.ts';
import {
  type Address,
  AddressError,
  addressBytes,
  type Family,
  familyOf,
  formatAddress,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../state/address.ts';

/** First to last, both included. A skipped address is given only to a Service that asks for it. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
  readonly skipFirst: boolean;
  readonly skipLast: boolean;
}

export interface Pool {
  readonly name: string;
  readonly ranges: readonly Range[];
}

/** Addresses that no network can deliver to one node: loopback, multicast, link-local and the like. */
const never: readonly Range[] = [
  ['0.0.0.0', '0.255.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['169.254.0.0', '169.254.255.255'],
  ['224.0.0.0', '239.255.255.255'],
  ['255.0.0.0', '255.255.255.255'],
  ['::', '::1'],
  ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
].map(([first = '', last = '']) => between(parseAddress(first), parseAddress(last)));

export function isNeverVip(address: Address): boolean {
  const [family, value] = [familyOf(address), numberOf(address)];
  return never.some((range) => holds(range, family, value));
}

/**
 * Parses the items of `--pool`: `NAME=RANGE`, then further RANGEs of the same pool until the next NAME=.
 * Throws UsageError that names `where`, also for overlapping ranges: an address would be in two pools.
 */
export function parsePools(items: readonly string[], where = '--pool'): readonly Pool[] {
  const pools = new Map<string, Range[]>();
  let ranges: Range[] | undefined;
  for (const item of items) {
    const equals = item.indexOf('=');
    if (equals >= 0) {
      const name = item.slice(0, equals).trim();
      if (!/^[a-zA-Z0-9]([-.\w]{0,61}[a-zA-Z0-9])?$/.test(name)) {
        throw new UsageError(`${where} ${item}: expected NAME=RANGE, where NAME is letters, digits, - and .`);
      }
      ranges = pools.get(name) ?? [];
      pools.set(name, ranges);
    }
    if (ranges === undefined) throw new UsageError(`${where} ${item}: expected NAME=RANGE[,RANGE...]`);
    ranges.push(parseRange(item.slice(equals + 1).trim(), `${where} ${item}`));
  }
  const all = [...pools.values()].flat();
  for (const [index, range] of all.entries()) {
    const other = all.slice(0, index).find((earlier) => overlap(earlier, range));
    if (other !== undefined)
      throw new UsageError(`${where}: ${show(other)} and ${show(range)} overlap: separate them`);
  }
  return [...pools].map(([name, list]) => ({ name, ranges: list }));
}

function numberOf(address: Address): bigint {
  const { buffer, byteOffset, length } = addressBytes(address);
  const view = new DataView(buffer, byteOffset, length);
  if (length === 4) return BigInt(view.getUint32(0));
  return (view.getBigUint64(0) << 64n) | view.getBigUint64(8);
}

export function addressOf(value: bigint, family: Family): Address {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  let rest = value;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return formatAddress(bytes);
}

export function poolOf(pools: readonly Pool[], address: Address): Pool | undefined {
  const [family, value] = [familyOf(address), numberOf(address)];
  return pools.find(({ ranges }) => ranges.some((range) => holds(range, family, value)));
}

function holds({ family, first, last }: Range, wanted: Family, value: bigint): boolean {
  return family === wanted && value >= first && value <= last;
}

/** How many addresses a pool gives unasked, by family; exact up to 2^53. */
export function poolSizes({ ranges }: Pool): ReadonlyMap<Family, number> {
  const sizes = new Map<Family, number>();
  for (const range of ranges) {
    const size = Number(end(range) - start(range) + 1n);
    sizes.set(range.family, (sizes.get(range.family) ?? 0) + size);
  }
  return sizes;
}

/** Finds the free addresses of one range, lowest first, without checking again those it found taken. */
export class Cursor {
  readonly #range: Range;
  #next: bigint;

  constructor(range: Range) {
    this.#range = range;
    this.#next = start(range);
  }

  get family(): Family {
    return this.#range.family;
  }

  /** The lowest free address. The caller takes it: isTaken must be true for it in the next call. */
  find(isTaken: (address: Address) => boolean): Address | undefined {
    for (; this.#next <= end(this.#range); this.#next++) {
      const address = addressOf(this.#next, this.#range.family);
      if (!isTaken(address)) return address;
    }
    return undefined;
  }

  /** An address came free: find() checks it again. */
  release(address: Address): void {
    const value = numberOf(address);
    if (!holds(this.#range, familyOf(address), value)) return;
    if (value < this.#next && value >= start(this.#range)) this.#next = value;
  }
}

function start(range: Range): bigint {
  return range.skipFirst ? range.first + 1n : range.first;
}

function end(range: Range): bigint {
  return range.skipLast ? range.last - 1n : range.last;
}

/** Throws UsageError, also for a range with an address that can never be a VIP: a pool gives all it has. */
function parseRange(text: string, where: string): Range {
  const range = readRange(text, where);
  const wrong = never.find((one) => overlap(one, range));
  if (wrong === undefined) return range;
  const what = `no VIP can be in ${show(wrong)} (loopback, multicast, link-local)`;
  throw new UsageError(`${where}: ${what}: leave it out`);
}

function readRange(text: string, where: string): Range {
  try {
    if (text.includes('/')) return prefixRange(text);
    const dash = text.indexOf('-');
    const first = parseAddress(dash < 0 ? text : text.slice(0, dash).trim());
    const last = dash < 0 ? first : parseAddress(text.slice(dash + 1).trim());
    if (familyOf(first) !== familyOf(last) || numberOf(first) > numberOf(last)) {
      throw new AddressError(
        `expected FIRST-LAST in ascending order and of one family, got ${JSON.stringify(text)}`,
      );
    }
    return between(first, last);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new UsageError(`${where}: ${error.message}`, { cause: error });
  }
}

function between(first: Address, last: Address): Range {
  const [from, to] = [numberOf(first), numberOf(last)];
  return { family: familyOf(first), first: from, last: to, skipFirst: false, skipLast: false };
}

/**
 * A whole link (IPv4 /24 or shorter, IPv6 /64 or shorter) has a network address, and with IPv4 a broadcast
 * address, which no host answers for. A longer prefix is part of a link: all its addresses can be given.
 */
function prefixRange(text: string): Range {
  const prefix = parsePrefix(text);
  const address = prefixAddress(prefix);
  const family = familyOf(address);
  const first = numberOf(address);
  const last = first + (1n << BigInt((family === 4 ? 32 : 128) - prefixLength(prefix))) - 1n;
  const isLink = prefixLength(prefix) <= (family === 4 ? 24 : 64);
  return { family, first, last, skipFirst: isLink, skipLast: isLink && family === 4 };
}

function overlap(a: Range, b: Range): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

function show(range: Range): string {
  return `${addressOf(range.first, range.family)}-${addressOf(range.last, range.family)}`;
}
