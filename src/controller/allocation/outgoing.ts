// Make before break: a Service keeps its old address until the new one that it asked for is served. Pure.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { asksOtherwise, type ServiceManifest } from '../service.ts';

const nothing: readonly Address[] = [];
/** Two of each family: a Service that asks again and again cannot use up a pool. */
const mostOutgoing = 4;

/** The addresses that a Service had, and those that it has now. */
export interface Exchange {
  readonly had: readonly Address[];
  readonly kept: readonly Address[];
  /** False for an address that does not serve the Service, or that other Services do not share with it. */
  readonly mayStay: (address: Address) => boolean;
}

/** The old addresses that Services keep beside their new ones. */
export class Outgoing {
  readonly all: ReadonlyMap<ServiceKey, readonly Address[]>;
  readonly #all = new Map<ServiceKey, readonly Address[]>();
  /** Services read for the first time, or asking for something else, until settle() is called for them. */
  readonly #asking = new Map<ServiceKey, 'first' | 'otherwise'>();

  constructor() {
    this.all = this.#all;
  }

  of(key: ServiceKey): readonly Address[] {
    return this.#all.get(key) ?? nothing;
  }

  /** A Service with addresses is about to be settled. `known` is its former manifest, if it was read. */
  asked(known: ServiceManifest | undefined, now: ServiceManifest): void {
    if (known === undefined) this.#asking.set(now.key, 'first');
    else if (asksOtherwise(known, now)) this.#asking.set(now.key, 'otherwise');
  }

  /** Decides which old addresses of a Service stay for now, and which go. */
  settle(key: ServiceKey, exchange: Exchange): { stay: readonly Address[]; go: readonly Address[] } {
    const { had, kept, mayStay } = exchange;
    const rest = had.filter((address) => !kept.includes(address));
    const isKept = rest.length > 0 && this.#isKept(key, exchange);
    const stay = isKept ? rest.filter(mayStay).slice(0, mostOutgoing) : nothing;
    this.forget(key);
    if (stay.length > 0) this.#all.set(key, stay);
    return { stay, go: rest.filter((address) => !stay.includes(address)) };
  }

  /** The Service lets go of these addresses. */
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
   * Recorded addresses of a Service that is read for the first time may be old and new ones. If only the
   * pools changed, no old address stays: Services take what others have let go.
   */
  #isKept(key: ServiceKey, { had, kept }: Exchange): boolean {
    const asking = this.#asking.get(key);
    if (asking === 'first' || this.#all.has(key)) return true;
    return asking === 'otherwise' && kept.some((address) => !had.includes(address));
  }
}
