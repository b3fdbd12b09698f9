// The objects of this dialect: addresses on interfaces.

import type { Address } from '../../state/address.ts';
import type { KernelObject } from '../dialect.ts';

export interface AddressObject extends KernelObject {
  readonly kind: 'address';
  readonly address: Address;
  readonly prefixLength: number;
  readonly interfaceIndex: number;
  readonly scope: number;
  /** IPv6 may choose it as a source address: its preferred lifetime is not 0. */
  readonly isPreferred: boolean;
  /** Duplicate address detection found another host with it (IFA_F_DADFAILED): the kernel does not use it. */
  readonly isDuplicate: boolean;
}

export function addressObject(
  {
    address,
    prefixLength,
    interfaceIndex,
    scope,
  }: Pick<AddressObject, 'address' | 'prefixLength' | 'interfaceIndex' | 'scope'>,
  foreign: boolean,
  {
    isDuplicate = false,
    isPreferred = false,
  }: Partial<Pick<AddressObject, 'isDuplicate' | 'isPreferred'>> = {},
): AddressObject {
  return {
    kind: 'address',
    id: `${address}/${prefixLength} on ${interfaceIndex}`,
    content: `scope ${scope}${isPreferred ? ', preferred' : ''}`,
    address,
    prefixLength,
    interfaceIndex,
    scope,
    isPreferred,
    foreign,
    isDuplicate,
    owner: address,
    service: null,
  };
}
