// What survives a restart: the cluster's name, the generation, each Service's addresses, each VIP's owner.
// Reads and writes it whole; store.ts decides when.

import { randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { makeFolder } from '../../process/folder.ts';
import { messageOf } from '../../process/message-of.ts';
import { type Address, parseAddress } from '../../state/address.ts';
import { parseServiceKey } from '../../state/service.ts';
import type { Term } from '../../state/term.ts';
import type { Allocations } from '../allocate.ts';
import { textAt, wholeAt } from '../sources/fields.ts';

/** The layout of controller.json. A file with another number is neither read nor overwritten. */
export const layout = 1;

export interface Owner {
  readonly node: string;
  readonly term: Term;
}

export interface Records {
  readonly cluster: string;
  readonly generation: number;
  readonly allocations: Allocations;
  /** The addresses that refused Services had before. */
  readonly former: Allocations;
  readonly owners: ReadonlyMap<Address, Owner>;
  /** Owned addresses that no node is known to have held. */
  readonly unheld: ReadonlySet<Address>;
  readonly drained: readonly string[];
}

/** What is known before the records of a cluster are read. */
export const noRecords: Records = {
  cluster: '',
  generation: 0,
  allocations: new Map(),
  former: new Map(),
  owners: new Map(),
  unheld: new Set(),
  drained: [],
};

/** The records cannot be used. The controller does not start then: a guess would move addresses. */
export class StateError extends Error {
  readonly code = 'BadState';
}

const sliceEntries = 2000;

export function stateFile(dir: string): string {
  return join(dir, 'controller.json');
}

/** Advice for a disk that is full, read-only or owned by another user. */
const remedy = 'give --state a folder this process may write, with room';

/** Reads the records, or makes those of a new cluster. Throws StateError. */
export async function readRecords(dir: string): Promise<Records> {
  const path = stateFile(dir);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { ...noRecords, cluster: randomUUID() };
    throw new StateError(`${path}: ${(error as Error).message}; ${remedy}`);
  }
  try {
    return parseRecords(JSON.parse(text));
  } catch (error) {
    const why = messageOf(error);
    const next =
      'restore it from a backup, or move it away to start a new cluster (agents then need `vipward cleanup`)';
    throw new StateError(`${path}: ${why}; ${next}`, { cause: error });
  }
}

function parseRecords(value: unknown): Records {
  const body = value as Record<string, unknown>;
  if (body['layout'] !== layout) throw new Error(`layout ${JSON.stringify(body['layout'])} is not ${layout}`);
  const owners = new Map<Address, Owner>();
  for (const [address, owner] of Object.entries(body['owners'] as object)) {
    const { node, generation, n } = owner as Record<string, unknown>;
    owners.set(parseAddress(address), {
      node: textAt(node, `owners.${address}.node`),
      term: { generation: wholeAt(generation, 'generation'), n: wholeAt(n, 'n') },
    });
  }
  return {
    cluster: textAt(body['cluster'], 'cluster'),
    generation: wholeAt(body['generation'], 'generation'),
    allocations: parseAllocations(body['allocations']),
    // Older records have no `former`.
    former: parseAllocations(body['former'] ?? {}),
    owners,
    unheld: new Set(((body['unheld'] ?? []) as string[]).map(parseAddress)),
    drained: (body['drained'] as unknown[]).map((name) => textAt(name, 'drained')),
  };
}

function parseAllocations(value: unknown): Allocations {
  const lists = Object.entries(value as object) as [string, string[]][];
  return new Map(lists.map(([key, list]) => [parseServiceKey(key), list.map(parseAddress)]));
}

/**
 * Writes the records to a new file, then renames it over the old one: a crash leaves one of the two whole.
 * Throws StateError.
 */
export async function writeRecords(dir: string, records: Records): Promise<void> {
  try {
    await replaceFile(dir, records);
  } catch (error) {
    throw new StateError(`${stateFile(dir)}: ${(error as Error).message}; ${remedy}`, { cause: error });
  }
}

async function replaceFile(dir: string, records: Records): Promise<void> {
  await makeFolder(dir, 0o755);
  const path = stateFile(dir);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    for (const slice of slices(records)) {
      await file.write(slice);
      // 50,000 entries take 30 ms to serialise: the streams have a turn after each slice.
      await nextTurn();
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await using folder = await open(dir, 'r');
  await folder.sync();
}

/** The JSON text in pieces. Each entry is consistent when it is read; a later change causes another write. */
function* slices({
  cluster,
  generation,
  allocations,
  former,
  owners,
  unheld,
  drained,
}: Records): Generator<string, void> {
  yield `{"layout":${layout},"cluster":${JSON.stringify(cluster)},"generation":${generation},`;
  yield `"drained":${JSON.stringify(drained)},"unheld":${JSON.stringify([...unheld])},"allocations":{`;
  yield* entries(allocations, (addresses) => addresses);
  yield '},"former":{';
  yield* entries(former, (addresses) => addresses);
  yield '},"owners":{';
  yield* entries(owners, ({ node, term }) => ({ node, ...term }));
  yield '}}\n';
}

function* entries<T>(map: ReadonlyMap<string, T>, shape: (value: T) => unknown): Generator<string, void> {
  let text = '';
  let count = 0;
  for (const [key, value] of map) {
    text += `${count === 0 ? '\n' : ',\n'}${JSON.stringify(key)}:${JSON.stringify(shape(value))}`;
    if (++count % sliceEntries !== 0) continue;
    yield text;
    text = '';
  }
  yield text;
}
