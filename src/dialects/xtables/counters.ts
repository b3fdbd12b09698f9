// Counters of elements. ipset lists counters of whole sets only, so a request costs as much as the set holds.

import { u64Be } from '../../netlink/reader.ts';
import type { Address } from '../../state/address.ts';
import type { DumpRequest } from '../dialect.ts';
import { DataAttribute, type SetKind, setName } from './constants.ts';
import { elementsDump } from './dumps.ts';
import { keyText } from './objects.ts';
import { keyOf, listedElements } from './read-sets.ts';

/** The sets with counters: drops by VIP, and with `--counters` accepted packets by port. */
export function counterDumps(family: 4 | 6, countsPorts: boolean): DumpRequest[] {
  const kinds: readonly SetKind[] = countsPorts ? ['drop', 'allow', 'src'] : ['drop'];
  return kinds.map((kind) => elementsDump(setName(kind, family)));
}

/** Packets by VIP (`10.0.0.1`) and by port (`10.0.0.1,tcp:80`), summed over all sources. */
export function readCounters(replies: readonly Uint8Array[]): Map<string, number> {
  const packets = new Map<string, number>();
  for (const { data } of replies.flatMap((reply) => [...listedElements(reply)])) {
    const counted = data.get(DataAttribute.PACKETS);
    if (counted === undefined) continue;
    const text = keyText({ ...keyOf(data), source: null });
    packets.set(text, (packets.get(text) ?? 0) + u64Be(counted));
  }
  return packets;
}

/** The key of a port's counter in the result of readCounters. */
export function portText(address: Address, protocol: number, port: number): string {
  return keyText({ address, protocol, port, source: null, sourceLength: 0 });
}
