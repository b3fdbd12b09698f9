// VIP addresses as a dialect: the addresses a node holds, each on the interface of the address's link.

import type { DesiredState } from '../../state/desired-state.ts';
import type { Dialect, KernelObjects } from '../dialect.ts';
import { addressDump, decode } from './decode.ts';
import { encode } from './encode.ts';
import type { AddressObject } from './objects.ts';
import { render } from './render.ts';

interface AddressDialect extends Dialect<AddressObject> {
  render(state: Pick<DesiredState, 'held'>): KernelObjects<AddressObject>;
}

export const addresses: AddressDialect = {
  name: 'addresses',
  render,
  dumps: [addressDump()],
  decode,
  encode,
};
