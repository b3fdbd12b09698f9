// A host that announces addresses as its own again and again, unasked, with frames made beforehand.
import { arpFrame, icmp6Frame } from '../../src/dialects/addresses/frames.ts';
import { loadNative } from '../../src/host/native.ts';
import { linkAddress } from '../../src/host/socket.ts';
import { addressBytes, familyOf, parseAddress } from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';
import { hex } from '../netlink/captured.ts';
import { Rhythm } from './offers.ts';
import { indexOf } from './stranger.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const everyMs = 20;
const mac = hex('02005e106666');
const hopLimitAt = 21;

export class Liar implements Disposable {
  readonly #native = loadNative();
  readonly #fd: number;
  readonly #timer: NodeJS.Timeout;
  readonly #rhythm = new Rhythm();

  /** `hops` is the hop limit of an advertisement: 255 unless a router has forwarded it. */
  constructor(where: Namespace, link: string, addresses: readonly string[], hops = 255) {
    const index = indexOf(where, link);
    this.#fd = where.run(() => this.#native.socket(AF_PACKET, SOCK_RAW, 0));
    const frames = addresses.map((address) => lie(address, hops));
    this.#timer = setInterval(() => {
      const isSaid = frames.every((frame) => {
        const protocol = Buffer.from(frame).readUInt16BE(12);
        return this.#native.send(this.#fd, frame, 0, linkAddress(index, protocol)) > 0;
      });
      if (isSaid) this.#rhythm.beat();
    }, everyMs).unref();
  }

  /** The longest time in which the kernel did not accept all frames. */
  get longestGapMs(): number {
    return this.#rhythm.longestGapMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#native.close(this.#fd);
  }
}

/** The answer to a probe for an address. */
function lie(text: string, hops: number): Uint8Array {
  const address = parseAddress(text);
  const bytes = addressBytes(address);
  if (familyOf(address) === 4)
    return arpFrame({ operation: 2, mac, sender: bytes, target: new Uint8Array(4) });
  const message = Uint8Array.of(136, 0, 0, 0, 0x20, 0, 0, 0, ...bytes, 2, 1, ...mac);
  const group = addressBytes(parseAddress('ff02::1'));
  return icmp6Frame({ mac, source: bytes, group, message }).with(hopLimitAt, hops);
}
