// VIP addresses as a dialect: what a node holds, on the interface whose link the address belongs to.

import type { Dialect } from '../dialect.ts';
import { addressDump, decode } from './decode.ts';
import { encode } from './encode.ts';
import type { AddressObject } from './objects.ts';
import { render } from './render.ts';

export const addresses: Dialect<AddressObject> = {
  name: 'addresses',
  render,
  dumps: [addressDump()],
  decode,
  encode,
};
