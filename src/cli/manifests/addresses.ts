// The addresses among the values of the chart, read as the programs that are given them read them. Pure.

import { parsePools } from '../../controller/allocation/pools.ts';
import { UsageError } from '../../process/usage.ts';
import { parseList } from '../../process/values.ts';
import { AddressError, parsePrefix } from '../../state/address.ts';
import { isMap, type Values } from './values.ts';

/** Checks `pools` and `allow`, whose types are those of the schema. Throws UsageError. */
export function checkAddresses({ pools, allow }: Values): void {
  // A template makes one flag of each, in which commas divide.
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
