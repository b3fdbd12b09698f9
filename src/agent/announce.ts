// Announcements of held VIPs: at once, again after 1, 2 and 4 seconds, and whenever the carrier comes back.

import { announcementFrames } from '../dialects/addresses/announcement.ts';
import type { Native } from '../host/native.ts';
import { linkAddress, openPacket } from '../host/socket.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';
import type { Network } from './network.ts';

const repeatAtMs: readonly number[] = [1000, 2000, 4000];
const MSG_DONTWAIT = 0x40;
/** Frames beyond these in one go overflow the queues of switch processors. */
const burstVips = 64;
const burstGapMs = 5;

export class Announcer implements Disposable {
  readonly #native: Native;
  readonly #network: Network;
  readonly #timers = new Map<Address, NodeJS.Timeout[]>();
  #waiting: HeldAddress[] = [];
  #drain: NodeJS.Timeout | undefined;
  readonly #fd: number;
  /** Frames that the kernel would not take: the interface is down, or gone. */
  failed = 0;

  /** Throws SystemCallError where the process may send no frames. */
  constructor(native: Native, network: Network) {
    this.#native = native;
    this.#network = network;
    this.#fd = openPacket(native);
  }

  /** Announces a VIP now and a few times more. */
  announce(held: HeldAddress): void {
    this.stop(held.address);
    this.#enqueue(held);
    const timers = repeatAtMs.map((delayMs) => setTimeout(() => this.#enqueue(held), delayMs).unref());
    this.#timers.set(held.address, timers);
  }

  /** No more of what was still to be said of a VIP. */
  stop(address: Address): void {
    for (const timer of this.#timers.get(address) ?? []) clearTimeout(timer);
    this.#timers.delete(address);
    this.#waiting = this.#waiting.filter((held) => held.address !== address);
  }

  [Symbol.dispose](): void {
    for (const address of [...this.#timers.keys()]) this.stop(address);
    clearTimeout(this.#drain);
    this.#native.close(this.#fd);
  }

  #enqueue(held: HeldAddress): void {
    this.#waiting.push(held);
    if (this.#drain === undefined) this.#send();
  }

  #send(): void {
    for (const held of this.#waiting.splice(0, burstVips)) this.#sendOne(held);
    this.#drain = this.#waiting.length === 0 ? undefined : setTimeout(() => this.#send(), burstGapMs).unref();
  }

  #sendOne({ address, interfaceIndex }: HeldAddress): void {
    const link = this.#network.link(interfaceIndex);
    if (link === undefined || link.loopback || link.mac.length !== 6) return;
    for (const frame of announcementFrames(address, link.mac)) {
      const protocol = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
      if (this.#native.send(this.#fd, frame, MSG_DONTWAIT, linkAddress(interfaceIndex, protocol)) < 0)
        this.failed++;
    }
  }
}
