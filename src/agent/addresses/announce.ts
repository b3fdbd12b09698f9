// Announcements of held VIPs: at once, again after 1, 2 and 4 seconds, and whenever the carrier comes back.

import { announcementFrames } from '../../dialects/addresses/announcement.ts';
import { etherTypeOf } from '../../dialects/addresses/frames.ts';
import type { Native } from '../../host/native.ts';
import { linkAddress, openPacket } from '../../host/socket.ts';
import type { Address } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';
import type { Ledger } from '../ledger.ts';
import { BurstLimiter } from './burst-limiter.ts';
import type { Network } from './network.ts';

const repeatAtMs: readonly number[] = [1000, 2000, 4000];
const MSG_DONTWAIT = 0x40;

/** What is said of a VIP until it is held elsewhere, or nowhere. */
interface Announcement {
  readonly held: HeldAddress;
  readonly timers: readonly NodeJS.Timeout[];
}

/** A change of the placements, as received. */
interface PlacementChange {
  readonly set: readonly { readonly address: Address }[];
  readonly remove: readonly Address[];
  /** VIPs that are about to go to another node. */
  readonly quiet: readonly Address[];
  /** The change is about the whole table: no other VIP is about to go. */
  readonly isWhole: boolean;
}

export class Announcer implements Disposable {
  readonly #native: Native;
  readonly #network: Network;
  readonly #announced = new Map<Address, Announcement>();
  /** VIPs that are about to go. */
  readonly #quiet = new Set<Address>();
  readonly #frames = new BurstLimiter<HeldAddress>((held) => this.#send(held), {
    onSent: () => this.#tell(),
  });
  /** Of the go that is under way. */
  #said: HeldAddress[] = [];
  readonly #fd: number;
  /** Told of VIPs that others have heard of now, or are not to hear of. */
  onSaid: (all: readonly HeldAddress[]) => void = () => {};
  /** Frames that the kernel would not take: the interface is down, or gone. */
  unsent = 0;

  /** Throws SystemCallError where the process may send no frames. */
  constructor(native: Native, network: Network) {
    this.#native = native;
    this.#network = network;
    this.#fd = openPacket(native);
  }

  /**
   * Announces VIPs now and a few times more, unless they are about to go. Who comes anew goes before those
   * that have been heard of.
   */
  announce(all: readonly HeldAddress[]): void {
    for (const held of all) this.stop(held.address);
    const [loud, quiet] = [false, true].map((is) =>
      all.filter(({ address }) => this.#quiet.has(address) === is),
    );
    for (const held of loud ?? []) {
      const again = (delayMs: number) => setTimeout(() => this.#frames.add([held]), delayMs).unref();
      this.#announced.set(held.address, { held, timers: repeatAtMs.map(again) });
    }
    this.#frames.add(loud ?? [], true);
    if (quiet !== undefined && quiet.length > 0) this.onSaid(quiet);
  }

  /**
   * What is held and placed anew is announced anew: somebody may have heard another node meanwhile. A VIP
   * that is about to go is announced no more, or this node could be heard after the one that takes it.
   */
  follow({ set, remove, quiet, isWhole }: PlacementChange, held: Ledger['held']): void {
    if (isWhole) this.#quiet.clear();
    for (const address of remove) this.#quiet.delete(address);
    for (const { address } of set) this.#quiet.delete(address);
    for (const address of quiet) this.#quiet.add(address);
    for (const { address } of set) {
      const at = held.get(address);
      if (at === undefined) this.stop(address);
      else this.announce([at]);
    }
  }

  /** No more of what was still to be said of a VIP. */
  stop(address: Address): void {
    for (const timer of this.#announced.get(address)?.timers ?? []) clearTimeout(timer);
    this.#announced.delete(address);
  }

  [Symbol.dispose](): void {
    for (const address of [...this.#announced.keys()]) this.stop(address);
    this.#frames[Symbol.dispose]();
    this.#native.close(this.#fd);
  }

  #send(held: HeldAddress): void {
    const { address, interfaceIndex } = held;
    // It has waited for its turn: by now something else may be true.
    if (this.#announced.get(address)?.held !== held) return;
    this.#said.push(held);
    const link = this.#network.link(interfaceIndex);
    if (link === undefined || link.loopback || link.mac.length !== 6) return;
    for (const frame of announcementFrames(address, link.mac)) {
      const to = linkAddress(interfaceIndex, etherTypeOf(frame));
      if (this.#native.send(this.#fd, frame, MSG_DONTWAIT, to) < 0) this.unsent++;
    }
  }

  #tell(): void {
    const said = this.#said;
    this.#said = [];
    if (said.length > 0) this.onSaid(said);
  }
}
