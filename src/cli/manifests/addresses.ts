// Checks the addresses in the chart's values with the parsers of the programs that get them. Pure.

import { parsePools } from '../../controller/allocation/pools.ts';
import { UsageError } from '../../process/usage.ts';
import { parseList } from '../../process/values.ts';
import { AddressError, parsePrefix } from '../../state/address.ts';
import { isMap, type Values } from './values.ts';

/** Checks `pools` and `allow`, whose types the schema has checked. Throws UsageError. */
export function checkAddresses({ pools, allow }: Values): void {
  // A template puts each into one flag, whose parts are separated by commas.
  const named = Object.entries(isMap(pools) ? pools : {}).map(([name, ranges]) => `${name}=${ranges}`);
  parsePools(parseList(named), 'pools');
  for (const prefix of parseList([String(allow ?? '')])) checkPrefix(prefix);
}

function checkPrefix(text: string): void {
  try {
    parsePrefix(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new UsageError(`allow: ${error.message}`, { cause: error });
  }
}
