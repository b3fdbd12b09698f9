// Keeps the last committed state on disk: appends lines and rewrites the file now and then. Nothing waits for
// the disk.

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Address } from '../../state/address.ts';
import type { Placement, VirtualIp } from '../../state/virtual-ip.ts';
import { journalFile, layout, type SavedJournal, type SavedState } from './journal-file.ts';

/** Lines are collected for this long, so that a burst of changes is one write. */
const collectMs = 50;
/** The file is rewritten when it has this many lines more than twice the number of resources. */
const slackLines = 1000;
/** The pause before a failed write is tried again. */
const retryMs = 5000;
/** How long `close` waits for a disk that does not answer. */
const closeMs = 5000;
/** Resources turned into text before other work gets its turn. */
const sliceLines = 500;

/** Changes that are not on disk yet. */
interface Pending {
  identity: boolean;
  readonly rules: Set<Address>;
  readonly placements: Set<Address>;
}

export class Journal {
  readonly #directory: string;
  readonly #state: SavedState;
  readonly #onTrouble: (trouble: string) => void;
  /** Keyed by address, so that it never grows beyond the state itself. */
  #pending = nothing();
  #lines = 0;
  /** The file to append to; without it the next write rewrites the file. */
  #file: FileHandle | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #trouble: string;

  /** Calls `onTrouble` when the trouble changes, and with '' when it ends. */
  constructor(directory: string, saved: SavedJournal, onTrouble: (trouble: string) => void) {
    this.#directory = directory;
    this.#state = saved.state;
    this.#trouble = saved.problem ?? '';
    this.#onTrouble = onTrouble;
  }

  /** Why the disk is not up to date, and what to do; empty while it is. */
  get trouble(): string {
    return this.#trouble;
  }

  identity(cluster: string | null, generation: number): void {
    this.#state.cluster = cluster;
    this.#state.generation = generation;
    this.#pending.identity = true;
    this.#schedule(collectMs);
  }

  /** Records a VIP as committed; undefined if the kernel no longer holds it. */
  rule(key: Address, vip: VirtualIp | undefined): void {
    if (this.#state.rules.get(key) === vip) return;
    if (vip === undefined) this.#state.rules.delete(key);
    else this.#state.rules.set(key, vip);
    this.#pending.rules.add(key);
    this.#schedule(collectMs);
  }

  placement(key: Address, placement: Placement | undefined): void {
    if (this.#state.placements.get(key) === placement) return;
    if (placement === undefined) this.#state.placements.delete(key);
    else this.#state.placements.set(key, placement);
    this.#pending.placements.add(key);
    this.#schedule(collectMs);
  }

  /** Writes pending changes at the end of the process. Resolves to false if the disk does not answer. */
  async close(): Promise<boolean> {
    const finished = this.#finish().then(() => true);
    return await Promise.race([finished, sleep(closeMs, false, { ref: false })]);
  }

  async #finish(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#timer);
    if (this.#isPending) await this.#write();
    clearTimeout(this.#timer);
    await this.#file?.close();
  }

  get #isPending(): boolean {
    const { identity, rules, placements } = this.#pending;
    return identity || rules.size > 0 || placements.size > 0;
  }

  /** Changes that come during a write are written after it. */
  #schedule(inMs: number): void {
    if (this.#writing !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#write();
    }, inMs).unref();
  }

  async #write(): Promise<void> {
    try {
      await this.#flush();
      this.#note('');
      this.#writing = undefined;
      if (this.#isPending) this.#schedule(collectMs);
    } catch (error) {
      this.#note(`${journalFile}: ${(error as Error).message}; ${remedyFor(this.#directory)}`);
      this.#writing = undefined;
      this.#schedule(retryMs);
    }
  }

  #note(trouble: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#onTrouble(trouble);
  }

  async #flush(): Promise<void> {
    const changed = this.#pending;
    this.#pending = nothing();
    const total = this.#state.rules.size + this.#state.placements.size;
    const file = this.#lines > total * 2 + slackLines ? undefined : this.#file;
    if (file === undefined || !(await this.#append(file, this.#linesOf(changed)))) await this.#rewrite();
  }

  /** False if the write failed: the file may then lack a part of the lines. */
  async #append(file: FileHandle, lines: Iterable<string>): Promise<boolean> {
    try {
      this.#lines += await writeLines(file, lines);
      return true;
    } catch {
      return false;
    }
  }

  async #rewrite(): Promise<void> {
    const before = this.#file;
    this.#file = undefined;
    await before?.close().catch(() => undefined);
    try {
      this.#file = await this.#replace(this.#everything()).catch(async () => {
        // The old file would bring back removed state at the next start, and may take the room that is
        // missing.
        await rm(join(this.#directory, journalFile), { force: true });
        return this.#replace(this.#everything());
      });
    } catch (error) {
      // The cluster and generation matter most, and one line fits nearly everywhere.
      const least = await this.#replace(this.#head()).catch(() => undefined);
      await least?.close();
      throw error;
    }
  }

  /** Replaces the file by a new one: after a crash either the old or the new file is there. */
  async #replace(lines: Iterable<string>): Promise<FileHandle> {
    const path = join(this.#directory, journalFile);
    const fresh = await open(`${path}.new`, 'w', 0o600);
    try {
      this.#lines = await writeLines(fresh, lines);
      await rename(`${path}.new`, path);
      await syncFolder(this.#directory);
    } catch (error) {
      await fresh.close();
      await rm(`${path}.new`, { force: true });
      throw error;
    }
    return fresh;
  }

  /** Each line has the state at the time it is made. */
  *#linesOf({ identity, rules, placements }: Pending): Generator<string> {
    if (identity) yield this.#identityLine();
    for (const key of rules) {
      const rule = this.#state.rules.get(key);
      yield JSON.stringify(rule === undefined ? { noRule: key } : { rule });
    }
    for (const key of placements) {
      const placement = this.#state.placements.get(key);
      yield JSON.stringify(placement === undefined ? { noPlacement: key } : { placement });
    }
  }

  /** The whole state. */
  *#everything(): Generator<string> {
    yield* this.#head();
    for (const rule of this.#state.rules.values()) yield JSON.stringify({ rule });
    for (const placement of this.#state.placements.values()) yield JSON.stringify({ placement });
  }

  *#head(): Generator<string> {
    yield JSON.stringify({ layout });
    yield this.#identityLine();
  }

  #identityLine(): string {
    return JSON.stringify({ cluster: this.#state.cluster, generation: this.#state.generation });
  }
}

/**
 * Appends lines to a file and waits for the disk; returns how many there were. It makes and writes them in
 * slices, so that other work gets its turn and no text grows with the state.
 */
async function writeLines(file: FileHandle, lines: Iterable<string>): Promise<number> {
  let written = 0;
  let slice: string[] = [];
  const writeSlice = async () => {
    await file.appendFile(slice.join(''));
    written += slice.length;
    slice = [];
    await nextTurn();
  };
  for (const line of lines) {
    slice.push(`${line}\n`);
    if (slice.length === sliceLines) await writeSlice();
  }
  await writeSlice();
  await file.datasync();
  return written;
}

function nothing(): Pending {
  return { identity: false, rules: new Set(), placements: new Set() };
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

function remedyFor(directory: string): string {
  const until = 'until then a start without a controller has an older state';
  return `make room in ${directory} and let the agent write there; tried every ${retryMs / 1000} s, ${until}`;
}
