// The last committed state on disk, as lines that are appended and now and then written anew. Nobody waits
// for it.

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address } from '../../state/address.ts';
import type { Placement, VirtualIp } from '../../state/virtual-ip.ts';
import { journalFile, layout, type SavedJournal, type SavedState } from './journal-file.ts';

/** Lines are collected for as long, so that a burst of changes is one write. */
const collectMs = 50;
/** The file is written anew when it has as many lines more than there are resources. */
const slackLines = 1000;
/** How soon a disk that took nothing is tried again. */
const retryMs = 5000;
/** How long an end waits for a disk that does not answer. */
const closeMs = 5000;
/** How many resources are turned into text before other work gets its turn. */
const sliceLines = 500;

/** What the disk does not know yet. */
interface Pending {
  identity: boolean;
  readonly rules: Set<Address>;
  readonly placements: Set<Address>;
}

export class Journal {
  readonly #directory: string;
  readonly #state: SavedState;
  readonly #onTrouble: (trouble: string) => void;
  /** What waits for the disk; by address, so that it never grows beyond the state itself. */
  #pending = nothing();
  #lines = 0;
  /** What is appended to; without it the file is written anew. */
  #file: FileHandle | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #trouble: string;

  /** `onTrouble` is told of each trouble that is another one than before, and of its end as an empty text. */
  constructor(directory: string, saved: SavedJournal, onTrouble: (trouble: string) => void) {
    this.#directory = directory;
    this.#state = saved.state;
    this.#trouble = saved.problem ?? '';
    this.#onTrouble = onTrouble;
  }

  /** Why the disk does not know what it should, and what to do; empty while it does. */
  get trouble(): string {
    return this.#trouble;
  }

  identity(cluster: string | null, generation: number): void {
    this.#state.cluster = cluster;
    this.#state.generation = generation;
    this.#pending.identity = true;
    this.#schedule(collectMs);
  }

  /** A VIP as it is committed now; undefined if it is gone. */
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

  /** Writes what is still waiting, for an orderly end. False if the disk does not answer. */
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

  /** What comes while the disk is written to is written after that. */
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

  /** False if the file cannot be trusted any more: a part of what it should say may be missing. */
  async #append(file: FileHandle, texts: Iterable<string>): Promise<boolean> {
    const lines: string[] = [];
    for (const line of texts) {
      lines.push(line);
      if (lines.length % sliceLines === 0) await breath();
    }
    this.#lines += lines.length;
    try {
      await file.appendFile(`${lines.join('\n')}\n`);
      await file.datasync();
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
        // The old file would bring back at the next start what is gone, and its room may be what is missing.
        await rm(join(this.#directory, journalFile), { force: true });
        return this.#replace(this.#everything());
      });
    } catch (error) {
      // Whom to obey is worth more than all else, and fits nearly everywhere.
      const least = await this.#replace([this.#head()]).catch(() => undefined);
      await least?.close();
      throw error;
    }
  }

  /** Writes a whole file in place of the one that is there: after a crash there is the one or the other. */
  async #replace(texts: Iterable<string>): Promise<FileHandle> {
    const path = join(this.#directory, journalFile);
    const fresh = await open(`${path}.new`, 'w', 0o600);
    let lines = 0;
    try {
      for (const text of texts) {
        lines += text.split('\n').length;
        await fresh.appendFile(`${text}\n`);
        await breath();
      }
      await fresh.datasync();
      await rename(`${path}.new`, path);
      await syncFolder(this.#directory);
    } catch (error) {
      await fresh.close();
      await rm(`${path}.new`, { force: true });
      throw error;
    }
    this.#lines = lines;
    return fresh;
  }

  /** As it is by the time each line is made. */
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

  /** The state as texts of many lines each. */
  *#everything(): Generator<string> {
    yield this.#head();
    yield* slices(this.#state.rules.values(), (rule) => ({ rule }));
    yield* slices(this.#state.placements.values(), (placement) => ({ placement }));
  }

  #head(): string {
    return `${JSON.stringify({ layout })}\n${this.#identityLine()}`;
  }

  #identityLine(): string {
    return JSON.stringify({ cluster: this.#state.cluster, generation: this.#state.generation });
  }
}

function* slices<Resource>(
  resources: Iterable<Resource>,
  lineOf: (resource: Resource) => object,
): Generator<string> {
  const all = [...resources];
  for (let at = 0; at < all.length; at += sliceLines) {
    const some = all.slice(at, at + sliceLines);
    yield some.map((resource) => JSON.stringify(lineOf(resource))).join('\n');
  }
}

function nothing(): Pending {
  return { identity: false, rules: new Set(), placements: new Set() };
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

function remedyFor(directory: string): string {
  const until = 'until then a start without a controller knows less';
  return `make room in ${directory} and let the agent write there; tried every ${retryMs / 1000} s, ${until}`;
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
