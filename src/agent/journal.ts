// The last committed state on disk, as lines that are appended and now and then written anew. Nobody waits
// for it.

import { readFileSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { readPlacement, readVirtualIp } from '../protocol/resources.ts';
import { fields, whole } from '../protocol/shape.ts';
import type { Address } from '../state/address.ts';
import type { Placement, VirtualIp } from '../state/virtual-ip.ts';

/** The layout of the file; another one is not read. */
const layout = 1;
export const journalFile = 'agent.jsonl';
/** Lines are collected for as long, so that a burst of changes is one write. */
const collectMs = 50;
/** The file is written anew when it has as many lines more than there are resources. */
const slackLines = 1000;
/** How many resources are turned into text before other work gets its turn. */
const sliceLines = 500;

export interface KeptState {
  cluster: string | null;
  generation: number;
  readonly rules: Map<Address, VirtualIp>;
  readonly placements: Map<Address, Placement>;
}

/** What the disk knows. A file that cannot be read whole yields what stands before the first bad line. */
export function readJournal(directory: string): { state: KeptState; problem: string | null } {
  const state: KeptState = { cluster: null, generation: 0, rules: new Map(), placements: new Map() };
  let lines: string[];
  try {
    lines = readFileSync(join(directory, journalFile), 'utf8').split('\n');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { state, problem: missing ? null : `${journalFile}: ${(error as Error).message}` };
  }
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    try {
      replay(state, JSON.parse(line), index === 0);
    } catch (error) {
      return { state, problem: `${journalFile}:${index + 1}: ${(error as Error).message}` };
    }
  }
  return { state, problem: null };
}

function replay(state: KeptState, value: unknown, first: boolean): void {
  const line = fields(value, 'line');
  if (first && line['layout'] !== layout)
    throw new Error(`layout ${String(line['layout'])} is not ${layout}`);
  if ('cluster' in line) {
    state.cluster = typeof line['cluster'] === 'string' ? line['cluster'] : null;
    state.generation = whole(line['generation'], 'generation');
  } else if ('rule' in line) {
    const vip = readVirtualIp(line['rule'], 'rule');
    state.rules.set(vip.address, vip);
  } else if ('placement' in line) {
    const placement = readPlacement(line['placement'], 'placement');
    state.placements.set(placement.address, placement);
  } else if (typeof line['noRule'] === 'string') {
    state.rules.delete(line['noRule'] as Address);
  } else if (typeof line['noPlacement'] === 'string') {
    state.placements.delete(line['noPlacement'] as Address);
  }
}

export class Journal {
  readonly #directory: string;
  readonly #state: KeptState;
  readonly #onError: (error: unknown) => void;
  /** By key, so that what waits for a slow disk never grows beyond the state itself. */
  #pending = new Map<string, () => string>();
  #lines = 0;
  #file: FileHandle | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;

  constructor(directory: string, state: KeptState, onError: (error: unknown) => void) {
    this.#directory = directory;
    this.#state = state;
    this.#onError = onError;
  }

  identity(cluster: string | null, generation: number): void {
    this.#state.cluster = cluster;
    this.#state.generation = generation;
    this.#put('identity', () => this.#identityLine());
  }

  /** A VIP as it is committed now; undefined if it is gone. */
  rule(key: Address, vip: VirtualIp | undefined): void {
    if (this.#state.rules.get(key) === vip) return;
    if (vip === undefined) this.#state.rules.delete(key);
    else this.#state.rules.set(key, vip);
    this.#put(`rule ${key}`, () => JSON.stringify(vip === undefined ? { noRule: key } : { rule: vip }));
  }

  placement(key: Address, placement: Placement | undefined): void {
    if (this.#state.placements.get(key) === placement) return;
    if (placement === undefined) this.#state.placements.delete(key);
    else this.#state.placements.set(key, placement);
    this.#put(`placement ${key}`, () =>
      JSON.stringify(placement === undefined ? { noPlacement: key } : { placement }),
    );
  }

  /** Writes what is still waiting, for an orderly end. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writing;
    if (this.#pending.size > 0) await this.#flush().catch(this.#onError);
    await this.#file?.close();
  }

  #put(key: string, line: () => string): void {
    this.#pending.set(key, line);
    this.#timer ??= setTimeout(() => this.#start(), collectMs).unref();
  }

  #start(): void {
    this.#timer = undefined;
    if (this.#writing !== undefined) return;
    this.#writing = this.#flush()
      .catch(this.#onError)
      .finally(() => {
        this.#writing = undefined;
        if (this.#pending.size > 0) this.#timer ??= setTimeout(() => this.#start(), collectMs).unref();
      });
  }

  async #flush(): Promise<void> {
    const makers = [...this.#pending.values()];
    this.#pending.clear();
    const total = this.#state.rules.size + this.#state.placements.size;
    if (this.#file === undefined || this.#lines > total * 2 + slackLines) return this.#rewrite();
    const lines: string[] = [];
    for (const line of makers) {
      lines.push(line());
      if (lines.length % sliceLines === 0) await breath();
    }
    this.#lines += lines.length;
    await this.#file.appendFile(`${lines.join('\n')}\n`);
    await this.#file.datasync();
  }

  async #rewrite(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    const path = join(this.#directory, journalFile);
    const fresh = await open(`${path}.new`, 'w', 0o600);
    let lines = [JSON.stringify({ layout }), this.#identityLine()];
    let written = 0;
    const say = async (): Promise<void> => {
      written += lines.length;
      await fresh.appendFile(`${lines.join('\n')}\n`);
      lines = [];
      await breath();
    };
    for (const rule of [...this.#state.rules.values()]) {
      if (lines.push(JSON.stringify({ rule })) >= sliceLines) await say();
    }
    for (const placement of [...this.#state.placements.values()]) {
      if (lines.push(JSON.stringify({ placement })) >= sliceLines) await say();
    }
    if (lines.length > 0) await say();
    await fresh.datasync();
    await rename(`${path}.new`, path);
    this.#file = fresh;
    this.#lines = written;
  }

  #identityLine(): string {
    return JSON.stringify({ cluster: this.#state.cluster, generation: this.#state.generation });
  }
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
