// Adds VIP addresses to interfaces and removes them. An address comes after its filter, is announced once it
// is usable, and goes before its filter.

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

const nowhere: readonly AddressObject[] = [];
/** Errors of a removal that mean that the kernel no longer has the address. */
const gone: ReadonlySet<number> = new Set([Errno.EADDRNOTAVAIL, Errno.ENODEV]);

export interface HolderParts {
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly network: Network;
  readonly announcer: Announcer;
  readonly prober: Prober;
  readonly nameservers: () => readonly Address[];
  readonly refuse: (refusal: Refusal) => void;
  /** A VIP is held, so that an earlier refusal of it ends. */
  readonly accept: (key: Address) => void;
  /** Called with addresses that this node may have taken or let go of, or that have become usable. */
  readonly onHeld: (addresses: Iterable<Address>) => void;
}

export class Holder implements Disposable {
  readonly places: Places;
  readonly arrivals: Arrivals;
  readonly #parts: HolderParts;
  /** Held VIPs whose address another program has put there: the agent must not remove it. */
  readonly #borrowed = new Set<Address>();
  /** Some VIP was moved, and its old interface may still have the address. */
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

  /** A moved VIP has arrived, and its address must now go from the old interface. */
  get isLeaving(): boolean {
    return this.#hasMoved && this.arrivals.over === this.arrivals.begun;
  }

  /** Whether a held address is usable and announced, on its interface or on the one it moves from. */
  isUsable(key: Address): boolean {
    return !this.arrivals.isAbsent(key);
  }

  /** Whether any of these VIPs is placed here and not held yet. */
  lacks(keys: Iterable<Address>): boolean {
    const { ledger } = this.#parts;
    for (const key of keys) if (ledger.isPlaced(key) && !ledger.held.has(key)) return true;
    return false;
  }

  /** The VIPs among these that are held and should not be. */
  excess(keys: Iterable<Address>): Address[] {
    const { ledger } = this.#parts;
    const excess: Address[] = [];
    for (const key of keys) if (ledger.held.has(key) && !ledger.isPlaced(key)) excess.push(key);
    return excess;
  }

  /** Reads interfaces and addresses, and updates which of these VIPs are held. Throws SystemCallError. */
  async refresh(keys: Iterable<Address>): Promise<void> {
    const { network, ledger, announcer, nameservers, onHeld } = this.#parts;
    for (const { index } of await network.refresh(nameservers())) this.announce(index);
    const found = Map.groupBy(network.addresses, ({ address }) => address);
    for (const key of keys) {
      const [object, second] = candidates(found.get(key) ?? nowhere, ledger.held.get(key));
      this.#hasMoved ||= second?.foreign === false;
      const isHeld = object !== undefined && !isSource(object);
      if (isHeld) ledger.hold(placeOf(object));
      else {
        announcer.stop(key);
        ledger.gone(key);
      }
      if (object?.foreign === true) this.#borrowed.add(key);
      else this.#borrowed.delete(key);
    }
    announcer.announce(this.arrivals.review((object) => this.isHeldAt(object)).map(placeOf));
    onHeld(keys);
  }

  /** Removes addresses of ours that are no longer wanted. Throws SystemCallError. */
  async sweep(): Promise<void> {
    const { ledger } = this.#parts;
    await this.withdraw(this.excess(ledger.held.keys()));
    await this.retain((key) => ledger.isPlaced(key));
  }

  /** Removes all addresses of ours but those that are to stay. Throws SystemCallError. */
  async retain(isToStay: (key: Address) => boolean): Promise<void> {
    const isLeft = ({ address, foreign }: AddressObject): boolean => !foreign && !isToStay(address);
    await this.#write([...this.#parts.network.addresses].filter(isLeft), []);
  }

  /** Removes moved VIPs from their old interface once they have arrived on the new one. */
  async leave(): Promise<void> {
    if (!this.isLeaving) return;
    await this.#write(this.#otherPlaces(this.#parts.ledger.held.values()), []);
    this.#hasMoved = false;
  }

  /** Lets go of VIPs on every interface, wanted or not. Throws SystemCallError. */
  async withdraw(keys: Iterable<Address>): Promise<void> {
    const { ledger, announcer, onHeld } = this.#parts;
    const held = [...keys].flatMap((key) => ledger.held.get(key) ?? []);
    const isBorrowed = ({ address }: HeldAddress): boolean => this.#borrowed.has(address);
    const [borrowed, own] = [held.filter(isBorrowed), held.filter((one) => !isBorrowed(one))];
    for (const object of this.#objects(borrowed)) {
      ledger.gone(object.address);
      this.#borrowed.delete(object.address);
      announcer.stop(object.address);
      this.arrivals.forget(object);
    }
    const others = this.#hasMoved ? this.#otherPlaces(own) : [];
    await this.#write([...this.#objects(own), ...others], []);
    onHeld(borrowed.map(({ address }) => address));
  }

  /**
   * Adds the addresses that should be held and are not, or that are on the wrong interface. Resolves to how
   * many it added. Throws SystemCallError.
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
    const objects = this.#objects(coming);
    const there = objects.flatMap(({ id }) => network.find(id) ?? []);
    const count = await this.#write(there.filter(isSource), objects);
    await this.leave();
    return count;
  }

  /** Whether a VIP is held by this address object, so that its removal has to be repaired. */
  isHeldAt({ address, prefixLength, interfaceIndex }: AddressObject): boolean {
    const at = this.#parts.ledger.held.get(address);
    return at?.interfaceIndex === interfaceIndex && prefixLength === hostLength(address);
  }

  /** Announces the VIPs held on an interface. */
  announce(interfaceIndex: number): void {
    const { ledger, announcer } = this.#parts;
    announcer.announce([...ledger.held.values()].filter((held) => held.interfaceIndex === interfaceIndex));
  }

  [Symbol.dispose](): void {
    this.arrivals[Symbol.dispose]();
  }

  /** Removes and adds addresses in one commit. Resolves to how many were added. */
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

  /** Updates the ledger before the kernel removes the address, or its event would look like foreign drift. */
  #let(object: AddressObject): void {
    const { ledger, announcer } = this.#parts;
    this.arrivals.forget(object);
    if (!this.isHeldAt(object)) return;
    ledger.letGo(object.address);
    announcer.stop(object.address);
  }

  /** Evaluates the kernel's answer to an address that was to be added. Returns false if it was refused. */
  #took(object: AddressObject, refusal: Refused<AddressObject> | undefined): boolean {
    const { ledger, network, accept } = this.#parts;
    // EEXIST is no refusal: the address is there already, and another program's unless we know it as ours.
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

  /** Addresses of ours for these VIPs on other interfaces, left there by a move. */
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

/** Another program has made it fit to be chosen as a source: it is made anew. */
function isSource({ foreign, isPreferred }: AddressObject): boolean {
  return !foreign && isPreferred;
}

function placeOf({ address, interfaceIndex }: AddressObject): HeldAddress {
  return { address, interfaceIndex };
}
