// Netlink bytes, written front to back into one growing buffer. Integers are host-endian unless their name
// says Be. All hosts we run on are little-endian (x86-64, arm64), and so is this file.

/** Bit 15 of an attribute's type: it holds attributes. */
export const NLA_F_NESTED = 0x8000;

/** A piece that is longer than this is not worth sharing a buffer, nor is what is left shorter than this. */
const leastRoomBytes = 1024;

/** Writes messages and attributes (linux/netlink.h); lengths are patched when a message or nest is closed. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** Where what is being written begins and ends. */
  #start = 0;
  #end = 0;
  readonly #capacity: number;

  constructor(capacityBytes = 4096) {
    this.#capacity = capacityBytes;
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** What was written, as a view that the next write may change. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /**
   * What was written, as bytes that nothing changes any more: what comes next is written behind them. Many
   * small pieces so share one buffer, which costs less than a buffer each.
   */
  take(): Uint8Array {
    const taken = this.bytes;
    this.#start = (this.#end + 7) & ~7;
    // No piece goes behind a large one, whose buffer it would hold on to.
    if (this.#bytes.length - this.#start < leastRoomBytes || taken.length > leastRoomBytes) {
      this.#use(new Uint8Array(this.#capacity));
      this.#start = 0;
    }
    this.#end = this.#start;
    return taken;
  }

  /** Opens a message (struct nlmsghdr) and returns its place for endMessage. */
  beginMessage(type: number, flags: number, sequence: number): number {
    const place = this.#claim(16);
    this.#view.setUint16(place + 4, type, true);
    this.#view.setUint16(place + 6, flags, true);
    this.#view.setUint32(place + 8, sequence, true);
    this.#view.setUint32(place + 12, 0, true);
    return place;
  }

  endMessage(place: number): void {
    this.#view.setUint32(place, this.#end - place, true);
  }

  /** Opens an attribute whose content follows, and returns its place for endNest. */
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

  /** Bytes that are given as a character each. */
  attributeLatin1(type: number, value: string): void {
    this.#characters(this.#attribute(type, value.length), value);
  }

  /** A zero-terminated ASCII string. */
  attributeText(type: number, value: string): void {
    const place = this.#attribute(type, value.length + 1);
    this.#characters(place, value);
    this.#bytes[place + value.length] = 0;
  }

  u8(value: number): void {
    const place = this.#claimRaw(1);
    this.#bytes[place] = value;
  }

  u16(value: number): void {
    const place = this.#claimRaw(2);
    this.#view.setUint16(place, value, true);
  }

  u16Be(value: number): void {
    const place = this.#claimRaw(2);
    this.#view.setUint16(place, value, false);
  }

  u32(value: number): void {
    const place = this.#claimRaw(4);
    this.#view.setUint32(place, value, true);
  }

  /** Bytes as they are, such as attributes that were encoded before; the caller keeps to 4-byte alignment. */
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
   * Room for `size` bytes and the padding to a multiple of four behind them (NLMSG_ALIGN, NLA_ALIGN). That is
   * zero, for nothing is written over.
   */
  #claim(size: number): number {
    return this.#claimRaw((size + 3) & ~3);
  }

  /** Growing replaces the buffer, so a place is claimed before the buffer is named. */
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
