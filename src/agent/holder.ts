// VIP addresses on their way onto and off an interface: claimed behind a filter, announced once usable, let
// go first.

import { addresses } from '../dialects/addresses/dialect.ts';
import type { AddressObject } from '../dialects/addresses/objects.ts';
import { diff } from '../dialects/delta.ts';
import type { KernelObjects } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import { describeErrno } from '../netlink/ack.ts';
import type { Refusal } from '../protocol/messages.ts';
import { type Address, familyOf } from '../state/address.ts';
import type { HeldAddress, Needs } from '../state/desired-state.ts';
import type { Announcer } from './announce.ts';
import type { Ledger } from './ledger.ts';
import type { Network } from './network.ts';
import { Places } from './places.ts';

/** The kernel has it already, put there by somebody else (EEXIST), or no longer (EADDRNOTAVAIL, ENODEV). */
const EEXIST = 17;
const ENODEV = 19;
const gone: ReadonlySet<number> = new Set([99, ENODEV]);
/** An IPv6 address that is not heard to be usable by then is taken to be. */
const usableWithinMs = 1000;

export interface HolderParts {
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly network: Network;
  readonly announcer: Announcer;
  readonly nameservers: () => readonly Address[];
  readonly needs: () => Needs;
  readonly refuse: (refusal: Refusal) => void;
  /** The VIPs this node holds have changed; or the last of them has become usable. */
  readonly onHeld: (addresses: Iterable<Address>) => void;
}

export class Holder implements Disposable {
  readonly places: Places;
  readonly #parts: HolderParts;
  /** IPv6 addresses whose RTM_NEWADDR event is still to come. */
  readonly #coming = new Map<string, { held: HeldAddress; timer: NodeJS.Timeout }>();

  constructor(parts: HolderParts) {
    this.#parts = parts;
    this.places = new Places(parts);
  }

  /** Every held address answers by now. */
  get usable(): boolean {
    return this.#coming.size === 0;
  }

  /** Whether any of these VIPs is held and should not be, or the other way round. */
  concerns(keys: Iterable<Address>): boolean {
    const { ledger } = this.#parts;
    for (const key of keys) {
      if (ledger.held.has(key) || ledger.placed.has(key)) {
        if (ledger.held.has(key) !== (ledger.placed.has(key) && ledger.wanted.has(key))) return true;
      }
    }
    return false;
  }

  /**
   * Reads interfaces and addresses anew, and takes what is there of ours for held. Throws SystemCallError.
   */
  async refresh(keys: Iterable<Address>): Promise<KernelObjects<AddressObject>> {
    const { network, ledger, nameservers } = this.#parts;
    const found = await network.refresh(nameservers());

    const present = new Map(found.elements.map((object) => [object.address, object]));
    for (const key of keys) {
      const object = present.get(key);
      const at = ledger.held.get(key);
      if (object === undefined || (object.foreign && at?.interfaceIndex !== object.interfaceIndex))
        ledger.held.delete(key);
      else if (!object.foreign) ledger.held.set(key, { address: key, interfaceIndex: object.interfaceIndex });
    }
    this.#parts.onHeld(keys);
    return found;
  }

  /** Takes away what is ours in the kernel and no longer wanted. Throws SystemCallError. */
  async sweep(found: KernelObjects<AddressObject>): Promise<void> {
    const { ledger } = this.#parts;
    const stale = found.elements.filter((object) => {
      if (object.foreign) return false;
      return !(ledger.placed.has(object.address) && ledger.wanted.has(object.address));
    });
    await this.#write(stale, []);
  }

  /** Lets go of those that should not be held any more. Throws SystemCallError. */
  async release(keys: Iterable<Address>): Promise<void> {
    const { ledger } = this.#parts;
    await this.withdraw([...keys].filter((key) => !(ledger.placed.has(key) && ledger.wanted.has(key))));
  }

  /** Lets go of them, whatever is wanted. Throws SystemCallError. */
  async withdraw(keys: Iterable<Address>): Promise<void> {
    const leaving = [...keys].flatMap((key) => this.#parts.ledger.held.get(key) ?? []);
    if (leaving.length > 0) await this.#write(this.#objects(leaving), []);
  }

  /** Takes those that should be held and are not. Returns how many. Throws SystemCallError. */
  async claim(keys: Iterable<Address>): Promise<number> {
    const { ledger } = this.#parts;
    const coming: HeldAddress[] = [];
    for (const key of keys) {
      if (ledger.held.has(key) || !ledger.shouldHold(key)) continue;
      const held = this.places.placeFor(key);
      if (held !== undefined) coming.push(held);
    }
    if (coming.length > 0) await this.#write([], this.#objects(coming));
    return coming.length;
  }

  /** An address became usable, by its event. */
  onUsable(object: AddressObject): void {
    const coming = this.#coming.get(object.id);
    if (coming !== undefined) this.#arrived(object.id, coming.held);
  }

  /** Announces what is held on an interface, whose carrier came back. */
  announce(interfaceIndex: number): void {
    for (const held of this.#parts.ledger.held.values()) {
      if (held.interfaceIndex === interfaceIndex) this.#parts.announcer.announce(held);
    }
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#coming.values()) clearTimeout(timer);
  }

  /** The same diff as everywhere, between nothing and what is added, or what is taken away and nothing. */
  async #write(remove: readonly AddressObject[], add: readonly AddressObject[]): Promise<void> {
    if (remove.length === 0 && add.length === 0) return;
    const { kernel, ledger, announcer } = this.#parts;
    const delta = diff(asObjects(remove), asObjects(add));
    for (const { address, id } of delta.remove) {
      // Forgotten before it is gone, so that its event is not taken for somebody else's doing.
      ledger.held.delete(address);
      clearTimeout(this.#coming.get(id)?.timer);
      this.#coming.delete(id);
      announcer.stop(address);
    }
    // The event of an IPv6 address may come before the acknowledgement, so it is waited for beforehand.
    for (const object of delta.add) if (familyOf(object.address) === 6) this.#await(object);
    const receipt = await kernel.commit(addresses.encode(delta));
    const refused = new Map(
      receipt.flatMap(({ object, errno, words }) =>
        object === null ? [] : [[object.id, { errno, words }] as const],
      ),
    );
    for (const object of delta.add) {
      const refusal = refused.get(object.id);
      if (refusal !== undefined && refusal.errno !== EEXIST) {
        this.#forget(object.id);
        const code = refusal.errno === ENODEV ? 'NoInterface' : 'KernelRefused';
        this.places.refuse(object.address, code, describeErrno(refusal.errno, refusal.words));
        continue;
      }
      const held = { address: object.address, interfaceIndex: object.interfaceIndex };
      ledger.held.set(object.address, held);
      if (refusal !== undefined) this.#forget(object.id);
      if (!this.#coming.has(object.id)) announcer.announce(held);
    }
    const lost = receipt.find(
      ({ object, errno }) => object === null || (delta.remove.includes(object) && !gone.has(errno)),
    );
    if (lost !== undefined)
      throw new Error(`an address could not be taken away: ${describeErrno(lost.errno, lost.words)}`);
    this.#parts.onHeld([...delta.remove, ...delta.add].map(({ address }) => address));
  }

  #await(object: AddressObject): void {
    const held = { address: object.address, interfaceIndex: object.interfaceIndex };
    const timer = setTimeout(() => this.#arrived(object.id, held), usableWithinMs);
    this.#coming.set(object.id, { held, timer });
  }

  #arrived(id: string, held: HeldAddress): void {
    this.#forget(id);
    if (this.#parts.ledger.held.has(held.address)) this.#parts.announcer.announce(held);
    this.#parts.onHeld([held.address]);
  }

  #forget(id: string): void {
    clearTimeout(this.#coming.get(id)?.timer);
    this.#coming.delete(id);
  }

  #objects(held: Iterable<HeldAddress>): AddressObject[] {
    return [...addresses.render({ needs: this.#parts.needs(), vips: [], held }).elements];
  }
}

function asObjects(elements: readonly AddressObject[]): KernelObjects<AddressObject> {
  return { constants: noConstants, elements, needs: null };
}

const noConstants: readonly AddressObject[] = [];
