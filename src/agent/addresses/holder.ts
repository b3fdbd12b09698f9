// VIP addresses on their way onto and off an interface: claimed behind a filter, announced once usable, let
// go first.

import { addresses } from '../../dialects/addresses/dialect.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import type { Kernel } from '../../host/kernel.ts';
import { describeErrno, type Refused } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
import type { Refusal } from '../../protocol/messages.ts';
import { type Address, hostLength } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';
import type { Ledger } from '../ledger.ts';
import type { Announcer } from './announce.ts';
import { Arrivals } from './arrivals.ts';
import type { Network } from './network.ts';
import { candidates, Places } from './places.ts';
import type { Prober } from './prober.ts';

/** The kernel does not have it any more. */
const gone: ReadonlySet<number> = new Set([Errno.EADDRNOTAVAIL, Errno.ENODEV]);

export interface HolderParts {
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly network: Network;
  readonly announcer: Announcer;
  readonly prober: Prober;
  readonly nameservers: () => readonly Address[];
  readonly refuse: (refusal: Refusal) => void;
  /** A VIP that was refused is held. */
  readonly accept: (key: Address) => void;
  /** The VIPs this node holds have changed; or the last of them has become usable. */
  readonly onHeld: (addresses: Iterable<Address>) => void;
}

export class Holder implements Disposable {
  readonly places: Places;
  readonly arrivals: Arrivals;
  readonly #parts: HolderParts;
  /** Held VIPs that somebody else has put where they should be: they are not ours to take away. */
  readonly #borrowed = new Set<Address>();
  /** Some VIP was moved, and may still be where it was too. */
  #hasMoved = false;

  constructor(parts: HolderParts) {
    this.#parts = parts;
    this.places = new Places(parts);
    this.arrivals = new Arrivals((object) => parts.announcer.announce([placeOf(object)]));
    parts.announcer.onSaid = (all) => {
      const arrived = this.arrivals.said(all);
      if (arrived.length > 0) parts.onHeld(arrived);
    };
  }

  /** Some VIP is at its new place, and still to be let go at the old one. */
  get isLeaving(): boolean {
    return this.#hasMoved && this.arrivals.over === this.arrivals.begun;
  }

  /** Whether a held address answers by now, and others know it, here or where it is moved from. */
  isUsable(key: Address): boolean {
    return !this.arrivals.isAbsent(key);
  }

  /** Whether any of these VIPs is to be taken now. */
  lacks(keys: Iterable<Address>): boolean {
    const { ledger } = this.#parts;
    for (const key of keys) if (ledger.isPlaced(key) && !ledger.held.has(key)) return true;
    return false;
  }

  /** Those of these VIPs that are held and should not be. */
  excess(keys: Iterable<Address>): Address[] {
    const { ledger } = this.#parts;
    return [...keys].filter((key) => ledger.held.has(key) && !ledger.isPlaced(key));
  }

  /**
   * Reads interfaces and addresses anew, and takes what is there of ours for held. Throws SystemCallError.
   */
  async refresh(keys: Iterable<Address>): Promise<void> {
    const { network, ledger, announcer, nameservers, onHeld } = this.#parts;
    for (const { index } of await network.refresh(nameservers())) this.announce(index);
    const found = Map.groupBy(network.addresses, ({ address }) => address);
    for (const key of keys) {
      const [object, second] = candidates(found.get(key) ?? [], ledger.held.get(key));
      this.#hasMoved ||= second?.foreign === false;
      if (object === undefined) announcer.stop(key);
      if (object === undefined) ledger.gone(key);
      else ledger.hold(placeOf(object));
      if (object?.foreign === true) this.#borrowed.add(key);
      else this.#borrowed.delete(key);
    }
    announcer.announce(this.arrivals.review((object) => this.isHeldAt(object)).map(placeOf));
    onHeld(keys);
  }

  /** Takes away what is ours in the kernel and no longer wanted. Throws SystemCallError. */
  async sweep(): Promise<void> {
    const { ledger } = this.#parts;
    await this.withdraw(this.excess(ledger.held.keys()));
    await this.retain((key) => ledger.isPlaced(key));
  }

  /** Takes away what is ours in the kernel, but for these. Throws SystemCallError. */
  async retain(isToStay: (key: Address) => boolean): Promise<void> {
    const isLeft = ({ address, foreign }: AddressObject): boolean => !foreign && !isToStay(address);
    await this.#write([...this.#parts.network.addresses].filter(isLeft), []);
  }

  /** Lets go of VIPs where they were before they moved, once they answer where they are. */
  async leave(): Promise<void> {
    if (!this.isLeaving) return;
    await this.#write(this.#otherPlaces(this.#parts.ledger.held.values()), []);
    this.#hasMoved = false;
  }

  /** Lets go of them wherever they are, whatever is wanted. Throws SystemCallError. */
  async withdraw(keys: Iterable<Address>): Promise<void> {
    const { ledger, announcer, onHeld } = this.#parts;
    const held = [...keys].flatMap((key) => ledger.held.get(key) ?? []);
    const [borrowed, own] = [true, false].map((is) =>
      held.filter(({ address }) => this.#borrowed.has(address) === is),
    );
    for (const object of this.#objects(borrowed ?? [])) {
      ledger.gone(object.address);
      this.#borrowed.delete(object.address);
      announcer.stop(object.address);
      this.arrivals.forget(object);
    }
    const others = this.#hasMoved ? this.#otherPlaces(own ?? []) : [];
    await this.#write([...this.#objects(own ?? []), ...others], []);
    onHeld((borrowed ?? []).map(({ address }) => address));
  }

  /**
   * Takes those that should be held and are not, or are elsewhere than they should be. Returns how many.
   * Throws SystemCallError.
   */
  async claim(keys: Iterable<Address>): Promise<number> {
    const { ledger, network, accept } = this.#parts;
    const all = [...keys].filter((key) => ledger.mayHold(key));
    if (all.some((key) => !ledger.held.has(key))) await network.readGateways();
    const coming: HeldAddress[] = [];
    const leaving: Address[] = [];
    for (const key of all.filter((one) => ledger.mayHold(one))) {
      const held = this.places.placeFor(key);
      if (held === undefined) leaving.push(key);
      else if (ledger.held.get(key)?.interfaceIndex !== held.interfaceIndex) coming.push(held);
      else accept(key);
    }
    await this.withdraw(leaving);
    this.#hasMoved ||= coming.some(({ address }) => ledger.held.has(address));
    const count = await this.#write([], this.#objects(coming));
    await this.leave();
    return count;
  }

  /** Whether this is where a VIP is held, so that it is missed if it goes. */
  isHeldAt({ address, prefixLength, interfaceIndex }: AddressObject): boolean {
    const at = this.#parts.ledger.held.get(address);
    return at?.interfaceIndex === interfaceIndex && prefixLength === hostLength(address);
  }

  /** Announces what is held on an interface that others have to find anew. */
  announce(interfaceIndex: number): void {
    const { ledger, announcer } = this.#parts;
    announcer.announce([...ledger.held.values()].filter((held) => held.interfaceIndex === interfaceIndex));
  }

  [Symbol.dispose](): void {
    this.arrivals[Symbol.dispose]();
  }

  /** Returns how many were added. */
  async #write(remove: readonly AddressObject[], add: readonly AddressObject[]): Promise<number> {
    if (remove.length === 0 && add.length === 0) return 0;
    const { kernel, ledger, announcer, onHeld } = this.#parts;
    for (const object of remove) this.#let(object);
    for (const object of add) this.arrivals.expect(object, ledger.held.has(object.address));
    const receipt = await kernel.commit(addresses.encode({ remove, add }));
    const lost = receipt.find(
      ({ object, errno }) => object === null || (remove.includes(object) && !gone.has(errno)),
    );
    if (lost !== undefined)
      throw new Error(`addresses could not be changed: ${describeErrno(lost.errno, lost.words)}`);
    for (const { address } of remove) if (!ledger.held.has(address)) ledger.gone(address);
    const refused = new Map(receipt.map((refusal) => [refusal.object, refusal]));
    const taken = add.filter((object) => this.#took(object, refused.get(object)));
    const usable = taken.filter((object) => this.arrivals.taken(object, refused.has(object)));
    announcer.announce(usable.map(placeOf));
    onHeld([...remove, ...add].map(({ address }) => address));
    return taken.length;
  }

  /** Forgotten before it is gone, so that its event is not taken for somebody else's doing. */
  #let(object: AddressObject): void {
    const { ledger, announcer } = this.#parts;
    this.arrivals.forget(object);
    if (!this.isHeldAt(object)) return;
    ledger.letGo(object.address);
    announcer.stop(object.address);
  }

  /** What the kernel said to an address that was to be added; false: it was refused. */
  #took(object: AddressObject, refusal: Refused<AddressObject> | undefined): boolean {
    const { ledger, network, accept } = this.#parts;
    // What is there already was put there by somebody else.
    if (refusal !== undefined && refusal.errno !== Errno.EEXIST) {
      this.arrivals.forget(object);
      const code = refusal.errno === Errno.ENODEV ? 'NoInterface' : 'KernelRefused';
      this.places.refuse(object.address, { code, reason: describeErrno(refusal.errno, refusal.words) });
      return false;
    }
    const held = placeOf(object);
    ledger.hold(held);
    if (refusal !== undefined && network.find(object.id)?.foreign !== false)
      this.#borrowed.add(object.address);
    else this.#borrowed.delete(object.address);
    accept(object.address);
    return true;
  }

  /** Where else the kernel has VIPs, which we put there before they moved. */
  #otherPlaces(held: Iterable<HeldAddress>): AddressObject[] {
    const places = new Map([...held].map(({ address, interfaceIndex }) => [address, interfaceIndex]));
    return [...this.#parts.network.addresses].filter(({ address, interfaceIndex, foreign }) => {
      const at = places.get(address);
      return !foreign && at !== undefined && at !== interfaceIndex;
    });
  }

  #objects(held: Iterable<HeldAddress>): AddressObject[] {
    return [...addresses.render({ held }).elements];
  }
}

function placeOf({ address, interfaceIndex }: AddressObject): HeldAddress {
  return { address, interfaceIndex };
}
