// IP addresses and prefixes as values: parsed once, stored in one canonical text, converted to bytes where
// needed.

import { bytesOf, textOf } from './address-text.ts';

declare const addressBrand: unique symbol;
declare const prefixBrand: unique symbol;

/**
 * An IPv4 or IPv6 address in canonical text (dotted quad, or RFC 5952). Equal addresses are equal strings.
 */
export type Address = string & { readonly [addressBrand]: true };

/** A CIDR prefix in canonical text with host bits masked, such as `10.0.0.0/8` or `fd00::/64`. */
export type Prefix = string & { readonly [prefixBrand]: true };

export type Family = 4 | 6;

/** A text is not an address, prefix or range. The message says what was expected and what was found. */
export class AddressError extends Error {
  readonly code = 'BadAddress';
}

export function familyOf(value: Address | Prefix): Family {
  return value.includes(':') ? 6 : 4;
}

/** The prefix length of a single address: 32 or 128. */
export function hostLength(address: Address): number {
  return familyOf(address) === 4 ? 32 : 128;
}

/** fe80::/10 (RFC 4291 2.5.6). */
export function isLinkLocal(address: Address): boolean {
  return /^fe[89ab]/.test(address);
}

/** Parses an IPv4 or IPv6 address. It refuses zone identifiers and leading zeros. Throws AddressError. */
export function parseAddress(text: string): Address {
  const bytes = bytesOf(text);
  if (bytes === undefined) throw new AddressError(`expected an IPv4 or IPv6 address, got ${quote(text)}`);
  if (isMapped(bytes)) {
    throw new AddressError(`expected an IPv4 address as such, got ${quote(text)}; drop the ::ffff:`);
  }
  return formatAddress(bytes);
}

/** `::ffff:A.B.C.D` (RFC 4291 2.5.5.2): an IPv4 address in IPv6 form, which no IPv6 rule ever matches. */
export function isMapped(bytes: Uint8Array): boolean {
  if (bytes.length !== 16 || bytes[10] !== 0xff || bytes[11] !== 0xff) return false;
  return bytes.every((byte, index) => index > 9 || byte === 0);
}

/**
 * Parses `ADDRESS/LENGTH`, or a bare address as its host prefix; host bits are masked. Throws AddressError.
 */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const most = hostLength(address);
  const suffix = slash < 0 ? String(most) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(suffix) || Number(suffix) > most) {
    throw new AddressError(`expected a prefix length of 0-${most}, got ${quote(text)}`);
  }
  const length = Number(suffix);
  return `${formatAddress(maskBytes(addressBytes(address), length))}/${length}` as Prefix;
}

/**
 * Parses `ADDRESS/LENGTH` with the legacy rules of Kubernetes, for values that an API server has accepted:
 * leading zeros are ignored, and an IPv4-mapped IPv6 address is IPv4. Throws AddressError.
 */
export function parseLegacyPrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const [address, suffix] = slash < 0 ? [text, ''] : [text.slice(0, slash), text.slice(slash + 1)];
  const bytes = bytesOf(address.replace(/(^|[.:])0+(?=[\da-f])/gi, '$1'));
  if (bytes === undefined || !/^\d+$/.test(suffix) || Number(suffix) > bytes.length * 8) {
    throw new AddressError(`expected ADDRESS/LENGTH, got ${quote(text)}`);
  }
  const length = Number(suffix);
  const masked = maskBytes(bytes, length);
  if (isMapped(masked)) return `${formatAddress(masked.subarray(12))}/${length - 96}` as Prefix;
  return `${formatAddress(masked)}/${length}` as Prefix;
}

export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf('/') + 1));
}

export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf('/')) as Address;
}

/** Whether the prefix contains the address; never for an address of the other family. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  return prefixesContain([prefix])(address);
}

/** A test for membership in any of the prefixes, which are parsed once. */
export function prefixesContain(prefixes: readonly Prefix[]): (address: Address) => boolean {
  const contain = prefixesContainBytes(prefixes);
  return (address) => contain(addressBytes(address));
}

/** The same for repeated tests of one address, given as the bytes of addressBytes(). */
export function prefixesContainBytes(prefixes: readonly Prefix[]): (bytes: Uint8Array) => boolean {
  const ranges = prefixes.map((prefix) => ({
    first: addressBytes(prefixAddress(prefix)),
    bits: prefixLength(prefix),
  }));
  return (bytes) => {
    return ranges.some(({ first, bits }) => first.length === bytes.length && agree(first, bytes, bits));
  };
}

/** Whether the prefixes have an address in common. */
export function prefixesOverlap(one: Prefix, other: Prefix): boolean {
  return prefixContains(one, prefixAddress(other)) || prefixContains(other, prefixAddress(one));
}

/** Whether the first `bits` bits of two addresses of one family are equal. */
function agree(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let index = 0; index * 8 < bits; index++) {
    const differing = (a[index] ?? 0) ^ (b[index] ?? 0);
    if (differing >> Math.max(0, 8 - (bits - index * 8)) !== 0) return false;
  }
  return true;
}

/** The 4 or 16 bytes of an address in network order. The 4 of IPv4 are in `room`, if it is given. */
export function addressBytes(address: Address, room?: Uint8Array): Uint8Array {
  const bytes = bytesOf(address, room);
  if (bytes === undefined) throw new AddressError(`not an address: ${quote(address)}`);
  return bytes;
}

/** The canonical text of 4 or 16 bytes in network order. */
export function formatAddress(bytes: Uint8Array): Address {
  return textOf(bytes) as Address;
}

/** A copy of the bytes with everything after the first `length` bits cleared. */
export function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff);
}

/** Orders addresses of one family by value, and IPv4 before IPv6. */
export function compareAddresses(a: Address, b: Address): number {
  const left = addressBytes(a);
  const right = addressBytes(b);
  if (left.length !== right.length) return left.length - right.length;
  for (let index = 0; index < left.length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
