// What must survive a restart: the cluster's name, the generation, who has which VIP and where. Read and
// written here, whole; store.ts says when.

import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Address, parseAddress } from '../../state/address.ts';
import { parseServiceKey } from '../../state/service.ts';
import type { Term } from '../../state/term.ts';
import type { Allocations } from '../allocate.ts';
import { textAt, wholeAt } from '../sources/fields.ts';

/** The layout of controller.json; another number is not read, nor written over. */
export const layout = 1;

export interface Owner {
  readonly node: string;
  readonly term: Term;
}

export interface Records {
  readonly cluster: string;
  readonly generation: number;
  readonly allocations: Allocations;
  /** What Services had that are refused now. */
  readonly former: Allocations;
  readonly owners: ReadonlyMap<Address, Owner>;
  /** Of those that have an owner, which nobody is known to have held. */
  readonly unheld?: ReadonlySet<Address>;
  readonly drained: readonly string[];
}

/** A record that cannot be used. The controller does not start on it: guessing would move addresses. */
export class StateError extends Error {
  readonly code = 'BadState';
}

const sliceEntries = 2000;

export function stateFile(dir: string): string {
  return join(dir, 'controller.json');
}

/** What to do about a disk that is full, read-only or somebody else's. */
const remedy = 'give --state a folder this process may write, with room';

/** Reads the records, or makes those of a new cluster. Throws StateError. */
export async function readRecords(dir: string): Promise<Records> {
  const path = stateFile(dir);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return newRecords();
    throw new StateError(`${path}: ${(error as Error).message}; ${remedy}`);
  }
  try {
    return parseRecords(JSON.parse(text));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const next =
      'restore it from a backup, or move it away to start a new cluster (agents then need `vipward cleanup`)';
    throw new StateError(`${path}: ${why}; ${next}`, { cause: error });
  }
}

function newRecords(): Records {
  return {
    cluster: randomUUID(),
    generation: 0,
    allocations: new Map(),
    former: new Map(),
    owners: new Map(),
    unheld: new Set(),
    drained: [],
  };
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
    // Records of before there were any have none.
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
 * Writes the records whole, beside the old ones first: a crash leaves the one or the other.
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
  await makeFolder(dir);
  const path = stateFile(dir);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    for (const slice of slices(records)) {
      await file.write(slice);
      // 50,000 entries are 30 ms of JSON: between slices the stream has its turn.
      await nextTurn();
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Not mkdir with `recursive`: where a file system takes no folders at all, as /proc, that never ends. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, 0o755);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, 0o755);
  }
}

/**
 * The JSON text in pieces. Each entry is whole at the moment it is read; one that changes later is written
 * again.
 */
function* slices({
  cluster,
  generation,
  allocations,
  former,
  owners,
  unheld = new Set(),
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
