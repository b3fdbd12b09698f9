// Writes the status of Services: decides which to check again, and what to write. It compares with the API
// server's status first; a status that is right costs no request.

import type { Address } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import type { Controller } from '../../controller.ts';
import { isServing } from '../../owners/serving.ts';
import type { Problem } from '../../service.ts';
import { inTurns } from '../../turns.ts';
import { type ApiClient, type ApiError, hasCode } from './client.ts';
import type { ServiceEvents } from './service-events.ts';
import { type ServiceObjects, servicePath } from './service-objects.ts';
import { isContestedFor, leftIn, otherManagersOf, statusPatch, wantedIngress } from './service-status.ts';
import type { Writes } from './writes.ts';

export interface ServiceStatusWriterInput {
  readonly controller: Controller;
  readonly catalog: ServiceObjects;
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly signal: AbortSignal;
  /** Whether the API server knows `ipMode`; read when the first status is written. */
  readonly hasIpMode: () => boolean;
  readonly serviceEvents: ServiceEvents;
  /** The state of these VIPs may have changed. */
  readonly onVipsTouched: (addresses: Iterable<Address>) => void;
}

/** How long changes are gathered: an agent acknowledges many VIPs at once. */
const gatherMs = 20;

export class ServiceStatusWriter {
  readonly #input: ServiceStatusWriterInput;
  /** VIPs that were announced since they were allocated, as far as this controller knows. */
  readonly #announced = new Set<Address>();
  /** VIPs that wait for an announcement or an ack. */
  readonly #open = new Set<Address>();
  readonly #services = new Set<ServiceKey>();
  /** The addresses last written into each status, until its watch event updates the catalog. */
  readonly #said = new Map<ServiceKey, readonly Address[]>();
  /** The rules version that an address's node must have acked before the status has the address. */
  readonly #due = new Map<ServiceKey, Map<Address, number>>();
  /** Services whose status another manager has written, with the message about it. */
  readonly #conflicts = new Map<ServiceKey, string>();
  /** The addresses that another manager's status refused, until its watch event comes. */
  readonly #refused = new Map<ServiceKey, string>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isAsked = false;

  constructor(input: ServiceStatusWriterInput) {
    this.#input = input;
    input.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** These VIPs were added, changed or removed by an allocation, and these Services were refused. */
  touched(addresses: Iterable<Address>, refused: Iterable<ServiceKey>): void {
    for (const address of addresses) this.#open.add(address);
    for (const key of refused) this.#services.add(key);
    this.progressed();
  }

  /** These Services were added, changed or removed: their status may be wrong. */
  seen(keys: Iterable<ServiceKey>): void {
    for (const key of keys) {
      this.#said.delete(key);
      this.#refused.delete(key);
      this.#services.add(key);
    }
    this.progressed();
  }

  /** Services whose status another manager owns. */
  problems(): Problem[] {
    return [...this.#conflicts].map(([service, message]) => {
      return { file: `${servicePath(service)}/status`, document: null, service, message };
    });
  }

  /** True if the Service's status has the address, or no longer has the one before. */
  readonly isTold = (key: ServiceKey, address: Address, before: Address): boolean => {
    const recorded = this.#input.catalog.recordedOf(key);
    return recorded.includes(address) || !recorded.includes(before);
  };

  /** An agent has sent a message: an awaited VIP may be ready. */
  progressed(): void {
    if (this.#open.size === 0 && this.#services.size === 0) return;
    if (this.#isLooking) this.#isAsked = true;
    else this.#timer ??= setTimeout(() => this.#look(), gatherMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (!this.#input.controller.isPublished) return;
    this.#isLooking = true;
    const done = () => {
      this.#isLooking = false;
      if (this.#isAsked) this.progressed();
      this.#isAsked = false;
    };
    inTurns(this.#steps(), { done });
  }

  *#steps(): Generator<void, void> {
    const { controller, onVipsTouched } = this.#input;
    const open = [...this.#open];
    onVipsTouched(open);
    for (const address of open) {
      for (const { key } of controller.allocator.usersOf(address)) this.#services.add(key);
      if (!this.#isAwaited(address)) this.#open.delete(address);
      yield;
    }
    for (const key of this.#services) {
      this.#services.delete(key);
      this.#input.serviceEvents.look(key);
      this.#check(key);
      yield;
    }
  }

  #isAwaited(address: Address): boolean {
    const { controller } = this.#input;
    if (!controller.allocator.isUsed(address)) {
      this.#announced.delete(address);
      return false;
    }
    // This runs for every awaited VIP whenever an agent sends a message.
    if (!isServing(controller.owners, address)) return true;
    this.#announced.add(address);
    return !this.#isCommitted(address, controller.rules.changedSeq(address));
  }

  #isCommitted(address: Address, seq = 0): boolean {
    return this.#input.controller.owners.nodeOf(address)?.hasAcked('rules', seq) === true;
  }

  #check(key: ServiceKey): void {
    const { catalog, writes } = this.#input;
    if (!catalog.services.has(key)) {
      this.#said.delete(key);
      this.#due.delete(key);
      this.#agreed(key);
      writes.drop('status', key);
      return;
    }
    const wanted = this.#wanted(key).join(' ');
    if (wanted === this.#recordedOf(key).join(' ')) this.#agreed(key);
    else if (wanted !== this.#refused.get(key))
      writes.put('status', key, (signal) => this.#writeStatus(key, signal));
  }

  /** The addresses in its status, as far as is known. */
  #recordedOf(key: ServiceKey): readonly Address[] {
    return this.#said.get(key) ?? this.#input.catalog.recordedOf(key);
  }

  #wanted(key: ServiceKey): readonly Address[] {
    const { controller } = this.#input;
    const { allocator, rules } = controller;
    const before = this.#due.get(key);
    // An address that was lost or contested meanwhile gets a new version when it returns.
    const due = new Map<Address, number>();
    /**
     * True if the node has the ports with which the Service came to the address; later changes of other
     * Services do not matter.
     */
    const isReached = (address: Address): boolean => {
      const seq = before?.get(address) ?? rules.changedSeq(address) ?? 0;
      due.set(address, seq);
      return this.#isCommitted(address, seq);
    };
    const wanted = wantedIngress({
      allocated: allocator.addressesOf(key),
      outgoing: allocator.outgoing.get(key) ?? [],
      recorded: this.#recordedOf(key),
      isAnnounced: (address) => this.#announced.has(address) && isReached(address),
      isContested: (address) => isContestedFor(key, controller.refusedPorts.get(address)),
    });
    if (due.size > 0) this.#due.set(key, due);
    else this.#due.delete(key);
    return wanted;
  }

  /** Writes the addresses that are wanted now. A deleted Service needs no status. */
  async #writeStatus(key: ServiceKey, signal: AbortSignal): Promise<void> {
    const { client, catalog, hasIpMode, serviceEvents } = this.#input;
    if (!catalog.services.has(key)) return;
    const recorded = this.#recordedOf(key);
    const addresses = this.#wanted(key);
    const { path, body } = statusPatch({ key, addresses, hasIpMode: hasIpMode() });
    const contentType = 'application/apply-patch+yaml';
    // Set before the answer: the watch event of another manager's write may come first, and clears this.
    this.#refused.set(key, addresses.join(' '));
    try {
      const answer = await client.json({ method: 'PATCH', path, body, contentType, signal });
      // Removing an address that another manager has applied too causes no conflict, and the address stays.
      if (leftIn(answer, addresses).length > 0) {
        this.#conflict(key, otherManagersOf(answer));
        return;
      }
      this.#said.set(key, addresses);
      this.#agreed(key);
      if (addresses.some((address) => !recorded.includes(address))) serviceEvents.announced(key, addresses);
    } catch (error) {
      const managers = hasCode(error, 409) ? managersIn(error) : [];
      if (managers.length > 0) return this.#conflict(key, managers);
      this.#refused.delete(key);
      throw error;
    }
  }

  #agreed(key: ServiceKey): void {
    this.#conflicts.delete(key);
    this.#refused.delete(key);
  }

  /** Never forces the write: another manager's status stays, and is reported. */
  #conflict(key: ServiceKey, managers: readonly string[]): void {
    const who = managers.length === 0 ? 'another field manager' : managers.join(', ');
    const ours = this.#wanted(key).join(', ') || 'nothing';
    const note = `StatusOwnedByAnother: ${who} has written its status, and vipward would write ${ours}`;
    this.#conflicts.set(key, note);
    this.#input.serviceEvents.statusOwned(key, note);
  }
}

/** The managers in a conflict; none if the object only changed in between. */
function managersIn({ message }: ApiError): readonly string[] {
  return [...new Set([...message.matchAll(/conflicts? with "([^"]+)"/g)].map(([, name = '']) => name))];
}
