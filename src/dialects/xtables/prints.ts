// A fingerprint of the sets, to detect changes. Every ten seconds it covers up to 200,000 elements, too many
// to make an object and a text of each.

import type { Attributes } from '../../netlink/reader.ts';
import { addressBytes } from '../../state/address.ts';
import { finished, fnvBasis, fnvBytes } from '../../state/hash.ts';
import { DataAttribute } from './constants.ts';
import { setNames } from './dumps.ts';
import type { ElementObject, Key } from './objects.ts';
import { listedElements } from './read-sets.ts';

/** Offsets of the parts of a key, followed by the number of its set. An address has 4 or 16 bytes. */
const At = { address: 0, protocol: 16, port: 17, source: 19, sourceLength: 35, set: 36 } as const;
const keyBytes = 37;
/** An address is a nested attribute; its header precedes it. */
const headerBytes = 4;
const secondBasis = 0x9747b28c;
const numbers: ReadonlyMap<string, number> = new Map(setNames.map((name, index) => [name, index + 1]));

/** Elements per step; a step takes some ten microseconds. */
const stepElements = 64;

/** The fingerprint of all elements listed in the replies; yields after each step. */
export function* printFound(replies: readonly Uint8Array[]): Generator<undefined, string> {
  const sum = new Sum();
  for (const reply of replies) {
    for (const { set, data } of listedElements(reply)) {
      readKey(data, sum.key);
      sum.add(set);
      if (sum.count % stepElements === 0) yield;
    }
  }
  return sum.print;
}

/** The fingerprint of elements in their sets, whatever their order; yields after each step. */
export function* printWanted(lists: Iterable<Iterable<ElementObject>>): Generator<undefined, string> {
  const sum = new Sum();
  for (const elements of lists) {
    for (const { set, key } of elements) {
      writeKey(key, sum.key);
      sum.add(set);
      if (sum.count % stepElements === 0) yield;
    }
  }
  return sum.print;
}

/** The number of elements, and the sums of two hashes of each. */
class Sum {
  /** The key to add; all zero before it is written. */
  readonly key: Uint8Array = new Uint8Array(keyBytes);
  count = 0;
  #first = 0;
  #second = 0;

  add(set: string): void {
    this.key[At.set] = numbers.get(set) ?? 0;
    this.count++;
    this.#first = (this.#first + finished(fnvBytes(fnvBasis, this.key))) | 0;
    this.#second = (this.#second + finished(fnvBytes(secondBasis, this.key))) | 0;
    this.key.fill(0);
  }

  get print(): string {
    return `${this.count} ${this.#first} ${this.#second}`;
  }
}

/** Reads the same parts as keyOf(). */
function readKey(data: Attributes, key: Uint8Array): void {
  data.copy(DataAttribute.IP, key, At.address, headerBytes);
  data.copy(DataAttribute.PROTO, key, At.protocol);
  data.copy(DataAttribute.PORT, key, At.port);
  const sourceBytes = data.copy(DataAttribute.IP2, key, At.source, headerBytes);
  if (data.copy(DataAttribute.CIDR2, key, At.sourceLength) === 0) key[At.sourceLength] = sourceBytes * 8;
}

function writeKey({ address, protocol, port, source, sourceLength }: Key, key: Uint8Array): void {
  key.set(addressBytes(address), At.address);
  key[At.protocol] = protocol;
  key[At.port] = port >> 8;
  key[At.port + 1] = port & 255;
  if (source === null) return;
  key.set(addressBytes(source), At.source);
  key[At.sourceLength] = sourceLength;
}
