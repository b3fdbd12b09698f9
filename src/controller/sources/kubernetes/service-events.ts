// Writes an Event about a Service when its allocation, its lost ports or its unread fields change.

import type { Address } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import type { PortRefusal } from '../../compile.ts';
import type { Controller } from '../../controller.ts';
import { RefusalReason } from '../../service.ts';
import { type EventDraft, serviceReference } from './event-object.ts';
import type { ServiceObjects } from './service-objects.ts';
import { isContestedFor } from './service-status.ts';

export interface ServiceEventsInput {
  readonly controller: Controller;
  readonly catalog: ServiceObjects;
  /** True if the cluster had recorded the address as the Service's before this controller wrote that. */
  readonly wasRecorded: (address: Address, key: ServiceKey) => boolean;
  readonly say: (draft: EventDraft) => void;
}

export class ServiceEvents {
  readonly #input: ServiceEventsInput;
  /** The last reported allocation of each Service, or why it has none. */
  readonly #allocations = new Map<ServiceKey, string>();
  /** The last reported ports that other Services took, for the few Services that lost any. */
  readonly #lost = new Map<ServiceKey, string>();
  /** The last reported parts of a Service that cannot be read or are not followed. */
  readonly #wrong = new Map<ServiceKey, string>();

  constructor(input: ServiceEventsInput) {
    this.#input = input;
  }

  /** Checks a Service that may have changed. */
  look(key: ServiceKey): void {
    const { controller, catalog } = this.#input;
    if (!catalog.services.has(key)) {
      this.#allocations.delete(key);
      this.#lost.delete(key);
      this.#wrong.delete(key);
      return;
    }
    this.#lookAtWords(key);
    const refusal = controller.allocator.refusals.get(key);
    const addresses = controller.allocator.addressesOf(key);
    const allocation = refusal === undefined ? addresses.join(', ') : `${refusal.reason}: ${refusal.message}`;
    const lost = addresses.flatMap((address) => {
      return (controller.refusedPorts.get(address) ?? []).filter(({ service }) => service === key);
    });
    const ports = [...new Set(lost.map(({ message }) => message))].join('; ') + leftOut(key, lost);
    const before = { allocation: this.#allocations.get(key) ?? '', ports: this.#lost.get(key) ?? '' };
    this.#allocations.set(key, allocation);
    if (ports === '') this.#lost.delete(key);
    else this.#lost.set(key, ports);
    if (allocation !== before.allocation) {
      if (refusal === undefined) this.#allocated(key, addresses);
      else
        this.#say(key, {
          type: 'Warning',
          reason: refusal.reason,
          action: 'Allocate',
          note: refusal.message,
        });
    }
    const [first] = lost;
    if (first !== undefined && ports !== before.ports)
      this.#say(key, { type: 'Warning', reason: first.reason, action: 'Serve', note: ports });
  }

  /** The object may have parts that cannot be read or mean nothing: the Service is served without them. */
  #lookAtWords(key: ServiceKey): void {
    const note = this.#input.catalog.whyOtherwise(key);
    if (note === this.#wrong.get(key)) return;
    if (note === undefined) {
      this.#wrong.delete(key);
      return;
    }
    this.#wrong.set(key, note);
    this.#say(key, { type: 'Warning', reason: RefusalReason.NotSupported, action: 'Serve', note });
  }

  /** The status has these addresses now: their owners announce them. */
  announced(key: ServiceKey, addresses: readonly Address[]): void {
    const { owners } = this.#input.controller;
    const words = addresses.map((address) => `${address} by ${owners.ownerOf(address)?.node ?? 'no node'}`);
    this.#say(key, { type: 'Normal', reason: 'Announced', action: 'Announce', note: words.join(', ') });
  }

  /** Another field manager has written the status. */
  statusOwned(key: ServiceKey, note: string): void {
    this.#say(key, { type: 'Warning', reason: 'StatusOwnedByAnother', action: 'WriteStatus', note });
  }

  /**
   * An address that the cluster already records, from an earlier controller, is no news. What this controller
   * records may be there before the Service is looked at.
   */
  #allocated(key: ServiceKey, addresses: readonly Address[]): void {
    const { catalog, wasRecorded } = this.#input;
    const recorded = catalog.recordedOf(key);
    const fresh = addresses.filter((address) => !recorded.includes(address) && !wasRecorded(address, key));
    if (fresh.length === 0) return;
    this.#say(key, { type: 'Normal', reason: 'Allocated', action: 'Allocate', note: fresh.join(', ') });
  }

  #say(key: ServiceKey, draft: Omit<EventDraft, 'regarding'>): void {
    const { catalog, say } = this.#input;
    say({ regarding: serviceReference(key, catalog.uidOf(key)), ...draft });
  }
}

/** Says that the status leaves the address out, if it does. */
function leftOut(key: ServiceKey, lost: readonly PortRefusal[]): string {
  return isContestedFor(key, lost) ? '; until then its status omits that address' : '';
}
