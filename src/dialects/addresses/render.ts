// Held VIPs -> addresses: /32 and /128, which are never the source of a packet that did not ask for it.

import { familyOf } from '../../state/address.ts';
import type { DesiredState } from '../../state/desired-state.ts';
import type { KernelObjects } from '../dialect.ts';
import { RT_SCOPE_HOST, RT_SCOPE_UNIVERSE } from './constants.ts';
import { type AddressObject, addressObject } from './objects.ts';

const noConstants: readonly AddressObject[] = [];

export function render(state: Pick<DesiredState, 'held'>): KernelObjects<AddressObject> {
  const elements: AddressObject[] = [];
  for (const { address, interfaceIndex } of state.held) {
    const of4 = familyOf(address) === 4;
    // IPv4 chooses among deprecated addresses too, but never one of scope host; IPv6 honours "preferred 0".
    const scope = of4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    elements.push(addressObject({ address, prefixLength: of4 ? 32 : 128, interfaceIndex, scope }, false));
  }
  return { constants: noConstants, elements, needs: null };
}
