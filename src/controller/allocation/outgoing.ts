// Make before break: who asks for another address is reached by the old one until there is a new one. Pure.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { asksOtherwise, type ServiceManifest } from '../service.ts';

const nothing: readonly Address[] = [];
/** One for each family, twice: who asks again and again takes no pool. */
const mostOutgoing = 4;

/** What a Service had, and what of it or beside it is to be its own. */
export interface Exchange {
  readonly had: readonly Address[];
  readonly kept: readonly Address[];
  /** False for an address by which nobody reaches the Service, or which others do not share with it. */
  readonly mayStay: (address: Address) => boolean;
}

/** What Services have beside what they are to have. */
export class Outgoing {
  readonly all: ReadonlyMap<ServiceKey, readonly Address[]>;
  readonly #all = new Map<ServiceKey, readonly Address[]>();
  /** Services that are read for the first time or ask for something else, until they are looked at. */
  readonly #asking = new Map<ServiceKey, 'first' | 'otherwise'>();

  constructor() {
    this.all = this.#all;
  }

  of(key: ServiceKey): readonly Address[] {
    return this.#all.get(key) ?? nothing;
  }

  /** A Service that has addresses is about to be looked at; `known` is what it was before, if it was read. */
  asked(known: ServiceManifest | undefined, now: ServiceManifest): void {
    if (known === undefined) this.#asking.set(now.key, 'first');
    else if (asksOtherwise(known, now)) this.#asking.set(now.key, 'otherwise');
  }

  /** Decides what of the rest of what a Service had stays for now, and what goes. */
  settle(key: ServiceKey, exchange: Exchange): { stay: readonly Address[]; go: readonly Address[] } {
    const { had, kept, mayStay } = exchange;
    const rest = had.filter((address) => !kept.includes(address));
    const isKept = rest.length > 0 && this.#isKept(key, exchange);
    const stay = isKept ? rest.filter(mayStay).slice(0, mostOutgoing) : nothing;
    this.forget(key);
    if (stay.length > 0) this.#all.set(key, stay);
    return { stay, go: rest.filter((address) => !stay.includes(address)) };
  }

  /** These are let go. */
  drop(key: ServiceKey, addresses: readonly Address[]): void {
    const left = this.of(key).filter((address) => !addresses.includes(address));
    if (left.length > 0) this.#all.set(key, left);
    else this.#all.delete(key);
  }

  forget(key: ServiceKey): void {
    this.#all.delete(key);
    this.#asking.delete(key);
  }

  /**
   * What is remembered of a Service that is read for the first time may be the one and the other. Other pools
   * are nobody's request: there each takes what another has let go.
   */
  #isKept(key: ServiceKey, { had, kept }: Exchange): boolean {
    const asking = this.#asking.get(key);
    if (asking === 'first' || this.#all.has(key)) return true;
    return asking === 'otherwise' && kept.some((address) => !had.includes(address));
  }
}
