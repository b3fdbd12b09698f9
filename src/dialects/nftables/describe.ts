// An object of the table in nft's syntax, for refusals and diffs.

import { u16Be } from '../../netlink/reader.ts';
import { formatAddress } from '../../state/address.ts';
import { protocolText } from '../../state/port.ts';
import { bytesOfKey } from './key.ts';
import { addressLength, type NftObject } from './objects.ts';

export function describe(object: NftObject): string {
  switch (object.kind) {
    case 'table':
      return `table inet vipward (flags ${object.flags})`;
    case 'set':
      return `set ${object.name} (size ${object.size})`;
    case 'chain':
      return `chain ${object.name} (${object.rules.length} rules)`;
    case 'element':
      return `element ${object.set} { ${describeKey(bytesOfKey(object.key), addressLength(object.set))} }`;
    default:
      return object satisfies never;
  }
}

/** Address, address . protocol . port, or that followed by a source. An ICMP type is a single byte. */
export function describeKey(key: Uint8Array, size: 4 | 16): string {
  if (key.length < size) return key.join(' ');
  const address = formatAddress(key.subarray(0, size));
  if (key.length === size) return address;
  const text = `${address} . ${protocolText(key[size] ?? 0)} . ${u16Be(key, size + 4)}`;
  return key.length === size + 8 ? text : `${text} . ${formatAddress(key.subarray(size + 8))}`;
}
