// The requests whose replies decode() reads.

import { Writer } from '../../netlink/writer.ts';
import type { DumpRequest } from '../dialect.ts';
import { sampleKinds, sentKind, setKinds, setName } from './constants.ts';
import { type FamilyShape, families } from './families.ts';
import { list } from './ipset.ts';

/** The tables that our rules can be in. */
export const tableNames: readonly string[] = ['raw', 'mangle', 'filter'];

/** The tables of this list that our rules can be in, of both families, in the order of `tableDumps`. */
export function placesIn(tables: readonly string[]): { shape: FamilyShape; table: string }[] {
  const all = families.flatMap((shape) => tableNames.map((table) => ({ shape, table })));
  return all.filter(({ table }) => tables.includes(table));
}

/** The sets whose elements are compared, in the order of their dumps. */
export const setNames: readonly string[] = families.flatMap(({ family }) =>
  setKinds.map((kind) => setName(kind, family)),
);
/** The sets of samples, in the order of their dumps. */
export const sampleSetNames: readonly string[] = families.flatMap(({ family }) =>
  sampleKinds.map((kind) => setName(kind, family)),
);
/** The sets of ports that VIPs have sent from, which are never dumped. */
export const sentSetNames: readonly string[] = families.map(({ family }) => setName(sentKind, family));

/** The headers of all sets, the elements of our sets, then the tables that exist. */
export function dumpRequests(): DumpRequest[] {
  return [headers(), ...setNames.map((name) => elementsDump(name)), ...tableDumps()];
}

/** Dumps of our rules only: other programs may change them, so the agent checks them more often than sets. */
export function tableDumps(tables: readonly string[] = tableNames): DumpRequest[] {
  return placesIn(tables).map(({ shape, table }) => tableDump(shape.family, table));
}

export function tableDump(family: 4 | 6, table: string): DumpRequest {
  return { door: 'xtables', bytes: Uint8Array.of(family, ...new TextEncoder().encode(table)) };
}

export function headers(): DumpRequest {
  const writer = new Writer(64);
  list(writer);
  return { door: 'nfnetlink', bytes: writer.bytes.slice() };
}

export function elementsDump(name: string): DumpRequest {
  const writer = new Writer(64);
  list(writer, name);
  return { door: 'nfnetlink', bytes: writer.bytes.slice() };
}
