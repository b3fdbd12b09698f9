// Announces held VIPs: at once, again after 1, 2 and 4 seconds, and whenever the carrier comes back.

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

/** The announcements of a VIP on one interface, until it moves or is let go. */
interface Announcement {
  readonly held: HeldAddress;
  readonly timers: readonly NodeJS.Timeout[];
}

/** A received change of placements. */
interface PlacementChange {
  readonly set: readonly { readonly address: Address }[];
  readonly remove: readonly Address[];
  /** VIPs that are about to go to another node. */
  readonly quiet: readonly Address[];
  /** The change replaces the whole table: only the VIPs in `quiet` are about to go. */
  readonly isWhole: boolean;
}

export class Announcer implements Disposable {
  readonly #native: Native;
  readonly #network: Network;
  readonly #announced = new Map<Address, Announcement>();
  /** VIPs that are about to go to another node; they are not announced. */
  readonly #quiet = new Set<Address>();
  readonly #frames = new BurstLimiter<HeldAddress>((held) => this.#send(held), {
    onSent: () => this.#tell(),
  });
  /** VIPs announced in the current burst. */
  #said: HeldAddress[] = [];
  readonly #fd: number;
  /** Called with VIPs that have been announced, or that are about to go and need no announcement. */
  onSaid: (all: readonly HeldAddress[]) => void = () => {};
  /** Frames that the kernel refused to send: the interface is down or gone. */
  unsent = 0;

  /** Throws SystemCallError if the process may not open a packet socket. */
  constructor(native: Native, network: Network) {
    this.#native = native;
    this.#network = network;
    this.#fd = openPacket(native);
  }

  /**
   * Announces VIPs now and a few times more, unless they are about to go. First announcements go out before
   * repeated ones.
   */
  announce(all: readonly HeldAddress[]): void {
    for (const held of all) this.stop(held.address);
    const isQuiet = ({ address }: HeldAddress): boolean => this.#quiet.has(address);
    const [loud, quiet] = [all.filter((held) => !isQuiet(held)), all.filter(isQuiet)];
    for (const held of loud) {
      const again = (delayMs: number) => setTimeout(() => this.#frames.add([held]), delayMs).unref();
      this.#announced.set(held.address, { held, timers: repeatAtMs.map(again) });
    }
    this.#frames.add(loud, true);
    if (quiet.length > 0) this.onSaid(quiet);
  }

  /**
   * Announces a held VIP again when it is placed again: neighbours may have heard another node meanwhile.
   * Stops announcing a VIP that is about to go, or neighbours could hear this node after its new holder.
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

  /** Cancels the pending announcements of a VIP. */
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
    // The VIP may have moved or been let go while its announcement was queued.
    if (this.#announced.get(address)?.held !== held) return;
    this.#said.push(held);
    const link = this.#network.link(interfaceIndex);
    if (link === undefined || link.loopback || link.mac.length !== 6) return;
    for (const frame of announcementFrames(address, link.mac, link.isRouter)) {
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
