// Watches a file or a folder of manifests: each change becomes a change of Services a few milliseconds later.
// A rejected file keeps its last Services; at the start it leaves the reading incomplete.

import { type FSWatcher, watch } from 'node:fs';
import { readdir, readlink, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { messageOf } from '../../process/message-of.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { ServiceChanges, ServiceManifest } from '../service.ts';
import { Catalog } from './catalog.ts';
import { type DocumentCache, DocumentError, parseFile } from './documents.ts';
import { readStable } from './stable-file.ts';
import { Suspects } from './suspects.ts';

export interface FileSourceInput {
  readonly path: string;
  /** Called when a reading ends; `isComplete` is true once every file was read completely. */
  readonly onReading: (changes: ServiceChanges, isComplete: boolean) => void;
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/** inotify can lose events when very many come at once, and sees no link further up: all is checked again. */
const rescanMs = 10_000;
/** A missing path is looked for this often. */
const missingMs = 500;

const visible = /^[^.].*\.(ya?ml|json)$/;

/** A file as it was last read; an equal stamp means that nothing was written since. */
interface Known {
  readonly stamp: string;
  readonly cache: DocumentCache;
}

export class FileSource {
  readonly catalog: Catalog = new Catalog((file) => this.#pathOf(file));
  readonly #input: FileSourceInput;
  readonly #known = new Map<string, Known>();
  readonly #due = new Set<string>();
  readonly #suspects = new Suspects({
    settle: () => this.#kick(),
    readAgain: (files) => {
      for (const file of files) this.#due.add(file);
      return this.#kick();
    },
    nowMs: () => performance.now(),
  });
  /** The changes of the reading in progress: a folder that is emptied or rewritten is one change. */
  #found: { readonly set: ServiceManifest[]; readonly remove: ServiceKey[] } = { set: [], remove: [] };
  #rescanDue = true;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #watchers: FSWatcher[] = [];
  /** The watched folder: its path and inode, which another folder may get once it is free. */
  #watched = '';
  #isFolder = false;
  /** True once all files of a scan were tried; until then the reading is partial. */
  #wasScanned = false;

  constructor(input: FileSourceInput) {
    this.#input = input;
  }

  /** Starts watching and reading; resolves after the first reading. */
  async start(): Promise<void> {
    const { signal } = this.#input;
    await this.readAll();
    const timer = setInterval(() => void this.readAll(), rescanMs).unref();
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /** Checks every file again and reads those written since. */
  readAll(): Promise<void> {
    this.#rescanDue = true;
    return this.#kick();
  }

  /** Reads every file again, written or not: the second reading that a mass removal waits for. */
  async readAgain(): Promise<void> {
    await this.#running;
    for (const [file, { cache }] of this.#known) this.#known.set(file, { stamp: '', cache });
    await this.readAll();
  }

  #kick(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#input.signal.aborted && (this.#rescanDue || this.#due.size > 0)) {
      try {
        if (this.#rescanDue) await this.#scan();
        const files = [...this.#due];
        this.#due.clear();
        for (const file of files) await this.#read(file);
        // A reading without changes is reported too, so that the caller learns that it is complete.
        if (!this.#rescanDue && this.#due.size === 0) {
          this.#wasScanned = this.#watched !== '';
          this.#report();
        }
      } catch (error) {
        this.#input.onError(error);
      }
    }
  }

  #follow({ set, remove }: ServiceChanges): void {
    this.#found.set.push(...set);
    this.#found.remove.push(...remove);
  }

  #report(): void {
    const { services, isComplete } = this.catalog;
    // A removed Service that another file declares has only moved. A Service found twice is set as it is now.
    const set = new Set(this.#found.set.flatMap(({ key }) => services.get(key) ?? []));
    const remove = this.#found.remove.filter((key) => !services.has(key));
    this.#found = { set: [], remove: [] };
    this.#input.onReading({ set: [...set], remove }, this.#wasScanned && isComplete);
  }

  /** Finds the files. A missing path is a problem, never an empty reading. */
  async #scan(): Promise<void> {
    this.#rescanDue = false;
    const { path } = this.#input;
    try {
      this.#isFolder = (await stat(path)).isDirectory();
      await this.#watch();
      const found = this.#isFolder
        ? (await readdir(path)).filter((name) => visible.test(name))
        : [basename(path)];
      for (const name of found) this.#due.add(name);
      for (const name of this.catalog.files) if (!found.includes(name)) this.#due.add(name);
    } catch (error) {
      const message = `${(error as Error).message}: create it, or correct --services`;
      this.catalog.fail(basename(path), { file: path, document: null, service: null, message });
      this.#unwatch();
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => void this.readAll(), missingMs).unref();
    }
  }

  /**
   * Watches a file through its folder, to see another file renamed into its place. A folder is followed too:
   * by a rename or a link another one may be at its path.
   */
  async #watch(): Promise<void> {
    const folder = resolve(this.#isFolder ? this.#input.path : dirname(this.#input.path));
    const { dev, ino, birthtimeMs } = await stat(folder);
    const found = `${folder} ${dev} ${ino} ${birthtimeMs}`;
    if (this.#watched === found) return;
    this.#unwatch();
    try {
      this.#listen(dirname(folder), (name) => {
        if (name === basename(folder)) void this.readAll();
      });
    } catch {
      // This user may not read that folder: then the regular rescan finds the other one.
    }
    this.#listen(folder, (name) => this.#changed(name));
    this.#watched = found;
  }

  #listen(folder: string, changed: (name: string) => void): void {
    const watcher = watch(folder, { signal: this.#input.signal, persistent: false });
    watcher.on('change', (_, name) => changed(String(name)));
    watcher.on('error', () => {
      this.#unwatch();
      void this.readAll();
    });
    this.#watchers.push(watcher);
  }

  #unwatch(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    this.#watched = '';
  }

  #changed(name: string): void {
    const isOurs = this.#isFolder ? visible.test(name) : name === basename(this.#input.path);
    if (isOurs) this.#due.add(name);
    // Kubernetes swaps a link named `..data` under a mounted ConfigMap: every file may have changed then.
    else if (name.startsWith('..')) this.#rescanDue = true;
    else return;
    // A write in place causes two or three events, which the kernel delivers together.
    setImmediate(() => void this.#kick());
  }

  async #read(file: string): Promise<void> {
    const path = this.#pathOf(file);
    const known = this.#known.get(file);
    try {
      const reading = await readStable(path, known?.stamp);
      if (reading === null) return this.#suspects.delete(file);
      const parsed = await parseFile(reading.text, file.endsWith('.json'), known?.cache ?? new Map());
      const looksCut = this.catalog.loses(file, parsed.documents) || !/[\n}\]]\s*$/.test(reading.text);
      if (known !== undefined && looksCut && !this.#suspects.isConfirmed(file, reading.stamp)) return;
      this.#suspects.delete(file);
      this.#known.set(file, { stamp: reading.stamp, cache: parsed.cache });
      this.#follow(this.catalog.update(file, parsed.documents));
    } catch (error) {
      await this.#failed(file, path, error);
    }
  }

  #pathOf(file: string): string {
    return this.#isFolder ? join(this.#input.path, file) : this.#input.path;
  }

  async #failed(file: string, path: string, error: unknown): Promise<void> {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT' && this.#isFolder;
    const target = isMissing ? await readlink(path).catch(() => null) : null;
    if (isMissing && target === null) {
      // An editor removes a file before it writes the new one: only a file that stays missing is gone.
      if (!this.#suspects.isConfirmed(file, 'gone')) return;
      this.#suspects.delete(file);
      this.#known.delete(file);
      this.#follow(this.catalog.remove(file));
      return;
    }
    // While Kubernetes swaps `..data`, links dangle for a moment. A link that dangles at the start is
    // rejected at once: its Services are unknown and may have had VIPs.
    if (target !== null && this.#wasScanned && !this.#suspects.isConfirmed(file, 'dangling')) return;
    this.#suspects.delete(file);
    const document = error instanceof DocumentError ? error.document : null;
    const message = target === null ? messageOf(error) : danglingTo(target);
    this.catalog.fail(file, { file: path, document, service: null, message });
    // Keeps the cache for the next reading but not the stamp: the same bytes are checked again.
    const cache = this.#known.get(file)?.cache;
    if (cache !== undefined) this.#known.set(file, { stamp: '', cache });
  }
}

/** The link is still in the folder: nobody has removed its Services. */
function danglingTo(target: string): string {
  return `it is a link to ${target}, which does not exist: restore it, or remove the link`;
}
