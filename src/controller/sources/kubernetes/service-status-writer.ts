// Writes the status of Services: which of them to look at again, and what to write of each. Everything is
// compared with what the API server has; a status that is right already costs no request.

import type { Address } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import type { Controller } from '../../controller.ts';
import type { Problem } from '../../service.ts';
import { inTurns } from '../../turns.ts';
import { type ApiClient, ApiError } from './client.ts';
import type { ServiceEvents } from './service-events.ts';
import type { ServiceObjects } from './service-objects.ts';
import { isContestedFor, leftIn, otherManagersOf, statusPatch, wantedIngress } from './service-status.ts';
import type { Writes } from './writes.ts';

export interface ServiceStatusWriterInput {
  readonly controller: Controller;
  readonly catalog: ServiceObjects;
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly signal: AbortSignal;
  /** Whether the API server knows `ipMode`; asked when the first status is written. */
  readonly hasIpMode: () => boolean;
  readonly serviceEvents: ServiceEvents;
  /** The state of these VIPs may have changed. */
  readonly onVipsTouched: (addresses: Iterable<Address>) => void;
}

/** How long changes are gathered: an agent acknowledges many VIPs in one turn. */
const gatherMs = 20;

export class ServiceStatusWriter {
  readonly #input: ServiceStatusWriterInput;
  /** VIPs that were announced since they were allocated, by this controller's knowledge. */
  readonly #announced = new Set<Address>();
  /** VIPs of which something is awaited. */
  readonly #open = new Set<Address>();
  readonly #services = new Set<ServiceKey>();
  /** What the status of a Service was last made to say; until its watch event comes, the catalog is older. */
  readonly #said = new Map<ServiceKey, readonly Address[]>();
  /** Which rules of an address a node must have before the status of a Service says it, until it does. */
  readonly #due = new Map<ServiceKey, Map<Address, number>>();
  /** Services whose status somebody else has written, and what is to be said of that. */
  readonly #conflicts = new Map<ServiceKey, string>();
  /** What each status was asked to say and does not, as another one owns it; until its watch event comes. */
  readonly #refused = new Map<ServiceKey, string>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isAsked = false;

  constructor(input: ServiceStatusWriterInput) {
    this.#input = input;
    input.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** The VIPs of an allocation changed, or came, or went; and these Services were refused. */
  touched(addresses: Iterable<Address>, refused: Iterable<ServiceKey>): void {
    for (const address of addresses) this.#open.add(address);
    for (const key of refused) this.#services.add(key);
    this.progressed();
  }

  /** Services came, changed in any way, or went: their status may not be what it should be. */
  seen(keys: Iterable<ServiceKey>): void {
    for (const key of keys) {
      this.#said.delete(key);
      this.#refused.delete(key);
      this.#services.add(key);
    }
    this.progressed();
  }

  /** Services whose status is not ours to write. */
  problems(): Problem[] {
    return [...this.#conflicts].map(([service, message]) => {
      const [namespace, name] = service.split('/');
      const file = `/api/v1/namespaces/${namespace}/services/${name}/status`;
      return { file, document: null, service, message };
    });
  }

  /** True if the API server says that the status of the Service has the address, or not the one before. */
  readonly isTold = (key: ServiceKey, address: Address, before: Address): boolean => {
    const recorded = this.#input.catalog.recordedOf(key);
    return recorded.includes(address) || !recorded.includes(before);
  };

  /** An agent has said something: what is awaited may have come. */
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
    // Asked of all that is awaited, whenever an agent has said something.
    if (!controller.owners.isServing(address)) return true;
    this.#announced.add(address);
    return !this.#isCommitted(address, controller.rules.changedSeq(address));
  }

  #isCommitted(address: Address, seq = 0): boolean {
    const { owners, nodes } = this.#input.controller;
    const owner = owners.ownerOf(address);
    return owner !== undefined && nodes.at(owner.node).hasAcked('rules', seq);
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

  /** What its status says, as far as is known. */
  #recordedOf(key: ServiceKey): readonly Address[] {
    return this.#said.get(key) ?? this.#input.catalog.recordedOf(key);
  }

  #wanted(key: ServiceKey): readonly Address[] {
    const { controller } = this.#input;
    const { allocator, rules } = controller;
    const before = this.#due.get(key);
    // Where it has no port, or is no more, it comes anew.
    const due = new Map<Address, number>();
    /** Its node has the ports with which the Service came to the address, whatever others changed since. */
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

  /** Writes what is wanted by now. A Service that is gone needs no status. */
  async #writeStatus(key: ServiceKey, signal: AbortSignal): Promise<void> {
    const { client, catalog, hasIpMode, serviceEvents } = this.#input;
    if (!catalog.services.has(key)) return;
    const recorded = this.#recordedOf(key);
    const addresses = this.#wanted(key);
    const { path, body } = statusPatch({ key, addresses, hasIpMode: hasIpMode() });
    const contentType = 'application/apply-patch+yaml';
    // Before the answer: what another one does to it meanwhile may be seen first, and is to be asked again.
    this.#refused.set(key, addresses.join(' '));
    try {
      const answer = await client.json({ method: 'PATCH', path, body, contentType, signal });
      // Who takes away what another one has applied as well is told of no conflict, and it stays.
      if (leftIn(answer, addresses).length > 0) {
        this.#conflict(key, otherManagersOf(answer));
        return;
      }
      this.#said.set(key, addresses);
      this.#agreed(key);
      if (addresses.some((address) => !recorded.includes(address))) serviceEvents.announced(key, addresses);
    } catch (error) {
      const managers = error instanceof ApiError && error.code === 409 ? managersIn(error) : [];
      if (managers.length > 0) return this.#conflict(key, managers);
      this.#refused.delete(key);
      throw error;
    }
  }

  #agreed(key: ServiceKey): void {
    this.#conflicts.delete(key);
    this.#refused.delete(key);
  }

  /** Never forced: what another manager has written stays, and is told. */
  #conflict(key: ServiceKey, managers: readonly string[]): void {
    const who = managers.length === 0 ? 'another field manager' : managers.join(', ');
    const ours = this.#wanted(key).join(', ') || 'nothing';
    const note = `StatusOwnedByAnother: ${who} has written its status, where we would write ${ours}`;
    this.#conflicts.set(key, note);
    this.#input.serviceEvents.statusOwned(key, note);
  }
}

/** Those that own what was asked for: none where the object was only changed in between. */
function managersIn({ message }: ApiError): readonly string[] {
  return [...new Set([...message.matchAll(/conflicts? with "([^"]+)"/g)].map(([, name = '']) => name))];
}
