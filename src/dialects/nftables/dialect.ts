// nftables as a dialect: one inet table of constant rules and plain hash sets.

import type { Dialect } from '../dialect.ts';
import { decode } from './decode.ts';
import { dumpRequests } from './dumps.ts';
import { encoder } from './encode.ts';
import type { NftObject } from './objects.ts';
import { renderer } from './render.ts';
import type { NftOptions } from './ruleset.ts';

export function nftables(options: NftOptions): Dialect<NftObject> {
  return {
    name: 'nftables',
    render: renderer(options),
    dumps: dumpRequests(),
    decode: (replies) => decode(replies, options.tableFlags),
    encode: encoder(options),
  };
}
