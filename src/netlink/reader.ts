// Netlink bytes, read without copying. Truncated or lying lengths are a NetlinkError, never a read past the
// end.

export class NetlinkError extends Error {
  readonly code = 'BadNetlink';
}

/** One message: its header, and its payload behind it. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

const headerBytes = 16;

/**
 * The messages of one or more datagrams laid behind each other, each padded to four bytes. Throws
 * NetlinkError.
 */
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

/** Attribute values by type; of a type that comes twice the last is kept. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/**
 * The attributes behind `offset` bytes of a fixed header. The flag bits of a type are dropped. Throws
 * NetlinkError.
 */
export function attributesOf(payload: Uint8Array, offset = 0): Attributes {
  const attributes = new Map<number, Uint8Array>();
  for (const [type, value] of attributeList(payload, offset)) attributes.set(type, value);
  return attributes;
}

/** The attributes in order, where one type comes several times as in a list of elements or rules. */
export function* attributeList(
  payload: Uint8Array,
  offset = 0,
): Generator<readonly [number, Uint8Array], void, undefined> {
  let place = offset;
  while (payload.length - place >= 4) {
    const length = u16(payload, place);
    if (length < 4 || length > payload.length - place) {
      throw new NetlinkError(`an attribute of ${length} bytes in ${payload.length - place}`);
    }
    yield [u16(payload, place + 2) & 0x3fff, payload.subarray(place + 4, place + length)];
    place += (length + 3) & ~3;
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

/** Counters are 64 bits wide; above 2^53 the number is rounded. */
export function u64Be(bytes: Uint8Array, place = 0): number {
  return u32Be(bytes, place) * 2 ** 32 + u32Be(bytes, place + 4);
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

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
