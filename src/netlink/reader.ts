// Reads netlink bytes without copying them. A truncated or wrong length throws NetlinkError and never causes
// a read past the end.

export class NetlinkError extends Error {
  readonly code = 'BadNetlink';
}

/** One message: its header, and the payload after it. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

const headerBytes = 16;

/** The messages of one or more concatenated datagrams, each padded to four bytes. Throws NetlinkError. */
export function* messagesOf(bytes: Uint8Array): Generator<Message, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let place = 0;
  while (place < bytes.length) {
    if (bytes.length - place < headerBytes)
      throw new NetlinkError(`${bytes.length - place} bytes where a header belongs`);
    const length = view.getUint32(place, true);
    if (length < headerBytes || length > bytes.length - place) {
      throw new NetlinkError(`a message of ${length} bytes in ${bytes.length - place}`);
    }
    yield {
      type: view.getUint16(place + 4, true),
      flags: view.getUint16(place + 6, true),
      sequence: view.getUint32(place + 8, true),
      portId: view.getUint32(place + 12, true),
      payload: bytes.subarray(place + headerBytes, place + length),
    };
    place += (length + 3) & ~3;
  }
}

/** Masks off the flag bits of an attribute type. */
const typeMask = 0x3fff;
/** What an absent answer or value reads as. */
export const noBytes: Uint8Array = new Uint8Array();

/**
 * Attribute values by type; the last one counts if a type occurs twice. Values are looked up on demand: a
 * reader of a table makes thousands of these and mostly needs one or two values of each.
 */
export class Attributes {
  readonly #bytes: Uint8Array;
  readonly #offset: number;

  /** Throws NetlinkError. */
  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes;
    this.#offset = offset;
    for (let place = offset; bytes.length - place >= 4; ) place += paddedLength(bytes, place);
  }

  get(type: number): Uint8Array | undefined {
    const bytes = this.#bytes;
    const found = this.#find(type);
    return found < 0 ? undefined : bytes.subarray(found + 4, found + u16(bytes, found));
  }

  /** A value; empty if the attribute is missing, so that a number read from it is 0. */
  bytes(type: number): Uint8Array {
    return this.get(type) ?? noBytes;
  }

  /** A string value; '' if the attribute is missing. */
  text(type: number): string {
    return textOf(this.bytes(type));
  }

  /** The attributes within a value; none if the attribute is missing. Throws NetlinkError. */
  nest(type: number): Attributes {
    return new Attributes(this.bytes(type), 0);
  }

  /**
   * Copies a value without its first `skip` bytes into `target` at `place`, as far as there is room. Returns
   * the number of bytes copied; 0 if the attribute is missing.
   */
  copy(type: number, target: Uint8Array, place: number, skip = 0): number {
    const bytes = this.#bytes;
    const found = this.#find(type);
    if (found < 0) return 0;
    const from = found + 4 + skip;
    const count = Math.min(found + u16(bytes, found) - from, target.length - place);
    for (let index = 0; index < count; index++) target[place + index] = bytes[from + index] ?? 0;
    return Math.max(0, count);
  }

  has(type: number): boolean {
    return this.#find(type) >= 0;
  }

  /** The offset of the last attribute of a type; -1 if there is none. */
  #find(type: number): number {
    const bytes = this.#bytes;
    let found = -1;
    for (let place = this.#offset; bytes.length - place >= 4; place += (u16(bytes, place) + 3) & ~3)
      if ((u16(bytes, place + 2) & typeMask) === type) found = place;
    return found;
  }
}

/** The attributes after a fixed header of `offset` bytes. Throws NetlinkError. */
export function attributesOf(payload: Uint8Array, offset = 0): Attributes {
  return new Attributes(payload, offset);
}

/** The distance from an attribute to the next one. Throws NetlinkError. */
function paddedLength(bytes: Uint8Array, place: number): number {
  const length = u16(bytes, place);
  if (length < 4 || length > bytes.length - place)
    throw new NetlinkError(`an attribute of ${length} bytes in ${bytes.length - place}`);
  return (length + 3) & ~3;
}

/** The attributes in order, for lists where a type occurs several times, such as elements or rules. */
export function* attributeList(list: Uint8Array): Generator<readonly [number, Uint8Array], void, undefined> {
  for (let place = 0; list.length - place >= 4; ) {
    const next = place + paddedLength(list, place);
    yield [u16(list, place + 2) & typeMask, list.subarray(place + 4, place + u16(list, place))];
    place = next;
  }
}

export function u16(bytes: Uint8Array, place = 0): number {
  return (bytes[place] ?? 0) | ((bytes[place + 1] ?? 0) << 8);
}

export function u32(bytes: Uint8Array, place = 0): number {
  return (u16(bytes, place) | (u16(bytes, place + 2) << 16)) >>> 0;
}

export function u16Be(bytes: Uint8Array, place = 0): number {
  return ((bytes[place] ?? 0) << 8) | (bytes[place + 1] ?? 0);
}

export function u32Be(bytes: Uint8Array, place = 0): number {
  return ((u16Be(bytes, place) << 16) | u16Be(bytes, place + 2)) >>> 0;
}

/** Counters have 64 bits; a value above 2^53 is rounded. */
export function u64Be(bytes: Uint8Array): number {
  return u32Be(bytes) * 2 ** 32 + u32Be(bytes, 4);
}

/** A string up to its first zero byte. */
export function textOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}
