// The objects of this dialect: addresses on interfaces.

import type { Address } from '../../state/address.ts';
import type { KernelObject } from '../dialect.ts';

export interface AddressObject extends KernelObject {
  readonly kind: 'address';
  readonly address: Address;
  readonly prefixLength: number;
  readonly interfaceIndex: number;
  readonly scope: number;
}

export function addressObject(
  {
    address,
    prefixLength,
    interfaceIndex,
    scope,
  }: Pick<AddressObject, 'address' | 'prefixLength' | 'interfaceIndex' | 'scope'>,
  foreign: boolean,
): AddressObject {
  return {
    kind: 'address',
    id: `${address}/${prefixLength} on ${interfaceIndex}`,
    content: `scope ${scope}`,
    ...{ address, prefixLength, interfaceIndex, scope, foreign },
    owner: address,
    service: null,
  };
}
