// Where a VIP goes on this node, and which VIPs have no place here for now.

import type { Refusal } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';
import { servicesOf } from '../state/virtual-ip.ts';
import type { Ledger } from './ledger.ts';
import type { Network } from './network.ts';

/** Refusals that end when the interfaces and addresses of the node are others. */
const forWantOfPlace: ReadonlySet<string> = new Set(['NoInterface', 'AddressConflict']);

export interface PlacesParts {
  readonly ledger: Ledger;
  readonly network: Network;
  readonly refuse: (refusal: Refusal) => void;
}

export class Places {
  readonly #parts: PlacesParts;

  constructor(parts: PlacesParts) {
    this.#parts = parts;
  }

  /** VIPs that this node should hold, and that it has no place for. */
  get lacking(): Address[] {
    const waiting = this.#parts.ledger.refusals.filter(
      ({ table, code }) => table === 'placements' && forWantOfPlace.has(code),
    );
    return waiting.map(({ key }) => key);
  }

  /** Those of them that there is a place for by now. */
  get free(): Address[] {
    const { network } = this.#parts;
    return this.lacking.filter(
      (key) => network.conflict(key) === undefined && network.interfaceFor(key) !== undefined,
    );
  }

  /** Where a VIP goes; undefined if there is no place, which is then refused by name. */
  placeFor(key: Address): HeldAddress | undefined {
    const { network } = this.#parts;
    const conflict = network.conflict(key);
    if (conflict !== undefined) {
      this.refuse(key, 'AddressConflict', `${conflict}; choose another address for the Service`);
      return undefined;
    }
    const link = network.interfaceFor(key);
    if (link === undefined) {
      this.refuse(
        key,
        'NoInterface',
        `no interface has a connected prefix with ${key}; name one with --interface`,
      );
      return undefined;
    }
    return { address: key, interfaceIndex: link.index };
  }

  refuse(key: Address, code: Refusal['code'], reason: string): void {
    const { ledger, refuse } = this.#parts;
    const vip = ledger.wanted.get(key);
    refuse({
      ...{ table: 'placements', key, code, reason },
      services: vip === undefined ? [] : servicesOf(vip),
    });
  }
}
