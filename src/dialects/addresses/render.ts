// Held VIPs -> addresses, /32 and /128. The kernel uses them as a source only if a program binds to them.

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
    // IPv4 may select a deprecated source, but never one of scope host; IPv6 honours preferred_lft 0.
    const scope = of4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    elements.push(addressObject({ address, prefixLength: of4 ? 32 : 128, interfaceIndex, scope }, false));
  }
  return { constants: noConstants, elements, needs: null };
}
