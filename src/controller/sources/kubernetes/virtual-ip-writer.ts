// Keeps a VirtualIP object for each allocated address, and deletes it once no Service has the address and
// every node has let go of it.

import type { Address } from '../../../state/address.ts';
import type { ServiceKey } from '../../../state/service.ts';
import { poolOf } from '../../allocation/pools.ts';
import type { Controller } from '../../controller.ts';
import { vipStatus } from '../../status/status.ts';
import { TurnQueue } from '../../turns.ts';
import { type ApiClient, type ApiRequest, hasCode } from './client.ts';
import type { EventDraft } from './event-object.ts';
import type { ObjectChanges } from './list-watch.ts';
import { sweep } from './sweep.ts';
import { eventsOf, releasedEvent } from './vip-events.ts';
import {
  saysAlready,
  type VirtualIpRecord,
  virtualIpName,
  virtualIpPath,
  virtualIpSpec,
  virtualIpStatus,
  virtualIpsPath,
} from './virtual-ip.ts';
import type { Writes } from './writes.ts';

export interface VirtualIpWriterInput {
  readonly controller: Controller;
  readonly uidOf: (key: ServiceKey) => string;
  readonly say: (events: EventDraft) => void;
  /** False while the records cannot be read: then writes fail too, or nobody sees them. */
  readonly isListed: () => boolean;
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly signal: AbortSignal;
}

/** A request, and the Events to write once it succeeded. */
type Write = Omit<ApiRequest, 'signal'> & { readonly events: readonly EventDraft[] };

/** How long changes of a VIP are gathered before they are written: records delay nothing else. */
const gatherMs = 200;
/** How long a controller that begins to rule waits for the owners' hello. */
const hearMs = 5000;

export class VirtualIpWriter {
  readonly #input: VirtualIpWriterInput;
  /** The records, by name of their object. */
  readonly #records = new Map<string, VirtualIpRecord>();
  /** Addresses whose record this controller has made, or has given other Services. */
  readonly #written = new Set<Address>();
  readonly #dirty = new Set<Address>();
  readonly #looks = new TurnQueue<Address>((address) => this.#check(address), { done: () => this.#arm() });
  #timer: NodeJS.Timeout | undefined;
  /** Unused addresses whose object was deleted while a node holds them: it is made again. */
  readonly #missed = new Set<Address>();
  #publishedMs: number | null = null;
  #isHeard = false;

  constructor(input: VirtualIpWriterInput) {
    this.#input = input;
    const { controller, isListed: isOn, signal } = input;
    // Nodes that come and go change VIPs without an event that names them.
    sweep({ all: () => controller.rules.keys(), isOn, signal, look: (some) => this.touched(some) });
    signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** The records in the API server. */
  get records(): Iterable<VirtualIpRecord> {
    return this.#records.values();
  }

  /** True if the record named the Service, and no former one of its name, before this process wrote it. */
  had(address: Address, key: ServiceKey): boolean {
    if (this.#written.has(address)) return false;
    const named = this.#recordOf(address)?.services.find((service) => service.key === key);
    return named !== undefined && (named.uid === '' || named.uid === this.#input.uidOf(key));
  }

  /** Takes changes of the objects. The writer corrects those that another client made. */
  changed({ set, remove }: ObjectChanges<VirtualIpRecord | null>): void {
    const { allocator } = this.#input.controller;
    for (const name of remove) {
      const record = this.#records.get(name);
      if (record === undefined) continue;
      this.#records.delete(name);
      this.#written.delete(record.address);
      this.#dirty.add(record.address);
      if (!allocator.isUsed(record.address) && this.#isHeld(record.address)) this.#missed.add(record.address);
    }
    for (const [name, record] of set) {
      // An object whose name does not match its address is not ours.
      if (record === null || virtualIpName(record.address) !== name) continue;
      this.#records.set(name, record);
      this.#dirty.add(record.address);
    }
    this.#arm();
  }

  /** The Services or the node of these VIPs may have changed. */
  touched(addresses: Iterable<Address>): void {
    for (const address of addresses) this.#dirty.add(address);
    this.#arm();
  }

  #recordOf(address: Address): VirtualIpRecord | undefined {
    return this.#records.get(virtualIpName(address));
  }

  #arm(): void {
    if (this.#dirty.size > 0) this.#timer ??= setTimeout(() => this.#look(), gatherMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (!this.#input.controller.isPublished) return;
    if (!this.#hears()) {
      this.#arm();
      return;
    }
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    this.#looks.add(dirty);
  }

  /**
   * A controller that begins to rule waits for its owners' acks: until then the records know more than it.
   */
  #hears(): boolean {
    const { owners, nodes } = this.#input.controller;
    this.#publishedMs ??= performance.now();
    const isOver = performance.now() - this.#publishedMs > hearMs;
    this.#isHeard ||=
      isOver || owners.all.values().every(({ node }) => nodes.get(node)?.hasAcked('placements', 0));
    return this.#isHeard;
  }

  #check(address: Address): void {
    const { controller } = this.#input;
    const record = this.#recordOf(address);
    if (!controller.allocator.isUsed(address)) {
      if (record === undefined && !this.#isMissed(address)) {
        this.#input.writes.drop('record', address);
        return;
      }
      // While a node has it, no Service may be given it: the object says so to every controller.
      if (!this.#isHeld(address)) {
        this.#write(address, () => this.#remove(address));
        return;
      }
      this.#dirty.add(address);
      if (record === undefined) this.#write(address, () => this.#create(address));
      else if (record.status['state'] !== 'released') this.#write(address, () => this.#keep(address));
      return;
    }
    if (record === undefined) this.#write(address, () => this.#create(address));
    else if (JSON.stringify(virtualIpSpec(record)) !== JSON.stringify(this.#spec(address)))
      this.#write(address, () => this.#change(address));
    else if (!saysAlready(record, this.#status(address, record)))
      this.#write(address, () => this.#say(address, record));
  }

  /** Each write compares again when its turn comes, since things may have changed in the queue. */
  #write(address: Address, request: () => Write | null): void {
    const { writes, client, say } = this.#input;
    writes.put('record', address, async (signal) => {
      const made = request();
      if (made === null) return;
      const { events, ...asked } = made;
      try {
        await client.json({ ...asked, signal });
        for (const one of events) say(one);
      } catch (error) {
        // The object exists or has changed: the watch reports it, and it is checked again.
        if (!hasCode(error, 409)) throw error;
      }
    });
  }

  #create(address: Address): Write | null {
    const { controller } = this.#input;
    const isGiven = controller.allocator.isUsed(address) || this.#isMissed(address);
    if (!isGiven || this.#recordOf(address) !== undefined) return null;
    this.#written.add(address);
    const body = {
      apiVersion: 'vipward.io/v1alpha1',
      kind: 'VirtualIP',
      metadata: { name: virtualIpName(address) },
      spec: this.#spec(address),
    };
    return { method: 'POST', path: virtualIpsPath, body, events: [] };
  }

  #change(address: Address): Write | null {
    if (!this.#input.controller.allocator.isUsed(address)) return null;
    this.#written.add(address);
    const body = { spec: this.#spec(address) };
    return { method: 'PATCH', path: virtualIpPath(address), body, events: [] };
  }

  #say(address: Address, before: VirtualIpRecord): Write | null {
    const { controller, uidOf } = this.#input;
    if (!controller.allocator.isUsed(address)) return null;
    const path = `${virtualIpPath(address)}/status`;
    const status = this.#status(address, before);
    const services = controller.allocator.usersOf(address).map(({ key }) => key);
    const events = eventsOf({ before, status, services, uidOf });
    return { method: 'PATCH', path, body: { status }, events };
  }

  /** Names the node that has to let go, for the next controller that rules. */
  #keep(address: Address): Write | null {
    const { allocator, nodes } = this.#input.controller;
    const holder = nodes.holderOf(address);
    if (allocator.isUsed(address) || holder === undefined) return null;
    const status = { node: holder.name, term: holder.held.get(address), state: 'released' };
    const path = `${virtualIpPath(address)}/status`;
    return { method: 'PATCH', path, body: { status }, events: [] };
  }

  #remove(address: Address): Write | null {
    const { controller } = this.#input;
    const record = this.#recordOf(address);
    if (record === undefined || controller.allocator.isUsed(address) || this.#isHeld(address)) return null;
    const body = { preconditions: { uid: record.uid } };
    const events = [releasedEvent(address, record.uid)];
    return { method: 'DELETE', path: virtualIpPath(address), body, events };
  }

  #isMissed(address: Address): boolean {
    return this.#missed.has(address) && this.#isHeld(address);
  }

  #isHeld(address: Address): boolean {
    const { owners, nodes } = this.#input.controller;
    return owners.leaving.has(address) || nodes.holderOf(address) !== undefined;
  }

  #spec(address: Address): object {
    const { controller, uidOf } = this.#input;
    const services = controller.allocator.usersOf(address).map(({ key }) => ({ key, uid: uidOf(key) }));
    return virtualIpSpec({ address, pool: poolOf(controller.pools, address)?.name ?? '', services });
  }

  #status(address: Address, record: VirtualIpRecord) {
    const { controller } = this.#input;
    const keys = controller.allocator.usersOf(address).map(({ key }) => key);
    const now = new Date().toISOString().replace(/\.\d+/, '');
    return virtualIpStatus(vipStatus(controller, address), keys, record, now);
  }
}
