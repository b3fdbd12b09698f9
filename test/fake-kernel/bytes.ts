// Netlink bytes for the fake kernel, read and made without src/netlink, so that one does not agree with its
// own faults.

export interface FakeMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The whole message with its header. */
  readonly bytes: Uint8Array;
}

/** An attribute, and the place of its header within the message. */
export interface FakeAttribute {
  readonly type: number;
  readonly value: Uint8Array;
  readonly place: number;
}

const nlmsgBytes = 16;
/** struct nlmsghdr and struct nfgenmsg. */
export const headerBytes = 20;

export function split(bytes: Uint8Array): FakeMessage[] {
  const messages: FakeMessage[] = [];
  for (let place = 0; place < bytes.length; ) {
    const view = viewOf(bytes.subarray(place));
    const length = view.getUint32(0, true);
    if (length < nlmsgBytes || place + length > bytes.length) throw new Error(`message of ${length} bytes`);
    messages.push({
      type: view.getUint16(4, true),
      flags: view.getUint16(6, true),
      sequence: view.getUint32(8, true),
      bytes: bytes.subarray(place, place + length),
    });
    place += align(length);
  }
  return messages;
}

/** The attributes between two places of a message. */
export function attributes(
  message: Uint8Array,
  start: number,
  end: number = message.length,
): FakeAttribute[] {
  const found: FakeAttribute[] = [];
  for (let place = start; place + 4 <= end; ) {
    const view = viewOf(message.subarray(place));
    const length = view.getUint16(0, true);
    if (length < 4 || place + length > end) throw new Error(`attribute of ${length} bytes at ${place}`);
    const type = view.getUint16(2, true) & 0x3fff;
    found.push({ type, value: message.subarray(place + 4, place + length), place });
    place += align(length);
  }
  return found;
}

/** The attributes inside an attribute of the same message. */
export function inside(message: Uint8Array, outer: FakeAttribute | undefined): FakeAttribute[] {
  if (outer === undefined) return [];
  return attributes(message, outer.place + 4, outer.place + 4 + outer.value.length);
}

export function find(list: readonly FakeAttribute[], type: number): FakeAttribute | undefined {
  return list.find((attribute) => attribute.type === type);
}

export function text(attribute: FakeAttribute | undefined): string {
  const bytes = attribute?.value ?? new Uint8Array();
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

export function number(attribute: FakeAttribute | undefined): number {
  return attribute === undefined ? 0 : viewOf(attribute.value).getUint32(0, false);
}

function bytesOf(value: string | number | Uint8Array | readonly Uint8Array[]): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(`${value}\0`);
  if (value instanceof Uint8Array) return value;
  if (typeof value !== 'number') return concat(value);
  const bytes = new Uint8Array(4);
  viewOf(bytes).setInt32(0, value | 0, false);
  return bytes;
}

/** An attribute: of a string with its zero, of a number in network order, of bytes, or of attributes. */
export function put(type: number, value: string | number | Uint8Array | readonly Uint8Array[]): Uint8Array {
  const content = bytesOf(value);
  const bytes = new Uint8Array(align(4 + content.length));
  viewOf(bytes).setUint16(0, 4 + content.length, true);
  viewOf(bytes).setUint16(2, type, true);
  bytes.set(content, 4);
  return bytes;
}

/** A message of nfnetlink. */
export function message(
  header: { type: number; flags?: number; sequence: number; family?: number; resource?: number },
  parts: readonly Uint8Array[] = [],
): Uint8Array {
  const { type, flags = 0, sequence, family = 1, resource = 0 } = header;
  const bytes = concat([new Uint8Array(headerBytes), ...parts]);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes[nlmsgBytes] = family;
  view.setUint16(18, resource, false);
  return bytes;
}

/** NLMSG_ERROR as to a socket with NETLINK_CAP_ACK and NETLINK_EXT_ACK; errno 0 is an acknowledgement. */
export function answer(to: FakeMessage, errno: number, offset = -1): Uint8Array {
  const bytes = new Uint8Array(offset < 0 ? 36 : 44);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 0x100 | (offset < 0 ? 0 : 0x200), true);
  view.setUint32(8, to.sequence, true);
  view.setInt32(16, -errno, true);
  bytes.set(to.bytes.subarray(0, nlmsgBytes), 20);
  if (offset < 0) return bytes;
  view.setUint16(36, 8, true);
  view.setUint16(38, 2, true);
  view.setUint32(40, offset, true);
  return bytes;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function align(length: number): number {
  return (length + 3) & ~3;
}
