// Writes netlink bytes front to back into one growing buffer. Integers are host-endian unless the method's
// name ends in Be; vipward runs on little-endian hosts only (x86-64, arm64).

/** Bit 15 of an attribute's type: the value consists of attributes. */
export const NLA_F_NESTED = 0x8000;

/** A longer piece does not share its buffer; a buffer with less room left than this is not used further. */
const leastRoomBytes = 1024;

/** Writes messages and attributes (linux/netlink.h); lengths are patched when a message or nest is closed. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** The range of the piece that is being written. */
  #start = 0;
  #end = 0;
  readonly #capacity: number;

  constructor(capacityBytes = 4096) {
    this.#capacity = capacityBytes;
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes of the current piece. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** The current piece as a view, valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /**
   * Ends the current piece and returns it; later writes do not change it. Small pieces share one buffer,
   * which costs less than a buffer for each.
   */
  take(): Uint8Array {
    const taken = this.bytes;
    this.#start = (this.#end + 7) & ~7;
    // A large piece ends its buffer: a small piece in it would keep the whole buffer alive.
    if (this.#bytes.length - this.#start < leastRoomBytes || taken.length > leastRoomBytes) {
      this.#use(new Uint8Array(this.#capacity));
      this.#start = 0;
    }
    this.#end = this.#start;
    return taken;
  }

  /** Opens a message (struct nlmsghdr) and returns its offset for endMessage. */
  beginMessage(type: number, flags: number, sequence: number): number {
    const place = this.#claim(16);
    this.#view.setUint16(place + 4, type, true);
    this.#view.setUint16(place + 6, flags, true);
    this.#view.setUint32(place + 8, sequence, true);
    return place;
  }

  endMessage(place: number): void {
    this.#view.setUint32(place, this.#end - place, true);
  }

  /** Opens an attribute that contains what is written next, and returns its offset for endNest. */
  beginNest(type: number): number {
    const place = this.#claim(4);
    this.#view.setUint16(place + 2, type, true);
    return place;
  }

  endNest(place: number): void {
    this.#view.setUint16(place, this.#end - place, true);
  }

  attributeU8(type: number, value: number): void {
    const place = this.#attribute(type, 1);
    this.#bytes[place] = value;
  }

  attributeU16Be(type: number, value: number): void {
    const place = this.#attribute(type, 2);
    this.#view.setUint16(place, value, false);
  }

  attributeU32(type: number, value: number): void {
    const place = this.#attribute(type, 4);
    this.#view.setUint32(place, value, true);
  }

  attributeU32Be(type: number, value: number): void {
    const place = this.#attribute(type, 4);
    this.#view.setUint32(place, value, false);
  }

  attributeU64Be(type: number, value: bigint): void {
    const place = this.#attribute(type, 8);
    this.#view.setBigUint64(place, value, false);
  }

  attributeBytes(type: number, value: Uint8Array): void {
    const place = this.#attribute(type, value.length);
    this.#bytes.set(value, place);
  }

  /** Bytes given as one character each. */
  attributeLatin1(type: number, value: string): void {
    this.#characters(this.#attribute(type, value.length), value);
  }

  /** A zero-terminated ASCII string. */
  attributeText(type: number, value: string): void {
    this.#characters(this.#attribute(type, value.length + 1), value);
  }

  u8(value: number): void {
    const place = this.#claimRaw(1);
    this.#bytes[place] = value;
  }

  u16Be(value: number): void {
    const place = this.#claimRaw(2);
    this.#view.setUint16(place, value, false);
  }

  u32(value: number): void {
    const place = this.#claimRaw(4);
    this.#view.setUint32(place, value, true);
  }

  /** Raw bytes, such as attributes encoded earlier; the caller keeps the 4-byte alignment. */
  raw(value: Uint8Array): void {
    const place = this.#claimRaw(value.length);
    this.#bytes.set(value, place);
  }

  #characters(place: number, value: string): void {
    for (let index = 0; index < value.length; index++) this.#bytes[place + index] = value.charCodeAt(index);
  }

  #attribute(type: number, size: number): number {
    const place = this.#claim(4 + size);
    this.#view.setUint16(place, 4 + size, true);
    this.#view.setUint16(place + 2, type, true);
    return place + 4;
  }

  /**
   * Claims `size` bytes and their padding to a multiple of four (NLMSG_ALIGN, NLA_ALIGN). What is not
   * written is zero, as the padding, since no byte of a buffer is claimed twice.
   */
  #claim(size: number): number {
    return this.#claimRaw((size + 3) & ~3);
  }

  /** Growing replaces the buffer, so callers claim a place before they access the buffer. */
  #claimRaw(size: number): number {
    const place = this.#end;
    const end = place + size;
    if (end > this.#bytes.length) this.#grow(end);
    this.#end = end;
    return place;
  }

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(least, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#use(larger);
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
