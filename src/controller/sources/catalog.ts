// The Services of all files together, updated as files come, change and go. Pure; a changed file costs that
// file alone.

import type { ServiceKey } from '../../state/service.ts';
import { asksOtherwise, type Problem, type ServiceChanges, type ServiceManifest } from '../service.ts';
import type { DocumentFacts } from './manifest.ts';

/**
 * A Service as one file declares it; `service` is null if it is invalid. `message` says what is invalid or
 * not followed.
 */
interface Entry {
  readonly document: number;
  readonly service: ServiceManifest | null;
  readonly message: string;
}

interface FileState {
  readonly entries: ReadonlyMap<ServiceKey, Entry>;
  /** The keys that the file declares twice. */
  readonly twice: readonly Problem[];
  readonly ignored: readonly string[];
  /** Why the present text of the file is rejected, or null. */
  readonly problem: Problem | null;
  readonly wasRead: boolean;
}

const unread: FileState = { entries: new Map(), twice: [], ignored: [], problem: null, wasRead: false };

/** All Services by name. If two files declare a Service, the first by file name counts. */
export class Catalog {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  /** Services that have a name and are invalid, and have not been valid since the start. */
  readonly invalid: Map<ServiceKey, string> = new Map();
  /** Rises whenever the result of `problems` may have changed: a call costs a look at every Service. */
  problemsSeq = 0;
  readonly #services = new Map<ServiceKey, ServiceManifest>();
  readonly #files = new Map<string, FileState>();
  readonly #holders = new Map<ServiceKey, readonly string[]>();
  readonly #pathOf: (file: string) => string;

  /** `pathOf` maps a file's name in the folder to the path that problems name. */
  constructor(pathOf: (file: string) => string = (file) => file) {
    this.#pathOf = pathOf;
    this.services = this.#services;
  }

  get files(): ReadonlySet<string> {
    return new Set(this.#files.keys());
  }

  /** Every known file was read completely at least once. */
  get isComplete(): boolean {
    return this.#files.values().every(({ wasRead }) => wasRead);
  }

  /**
   * True if a new reading of a file may cost Services their addresses: it lacks them, or they ask for other
   * addresses.
   */
  loses(file: string, documents: readonly DocumentFacts[]): boolean {
    const { entries } = this.#files.get(file) ?? unread;
    let kept = 0;
    for (const { services, invalid } of documents) {
      for (const service of services) {
        const known = entries.get(service.key);
        if (known === undefined) continue;
        if (known.service !== null && asksOtherwise(known.service, service)) return true;
        kept++;
      }
      for (const { key } of invalid) if (entries.has(key)) kept++;
    }
    return kept < entries.size;
  }

  /** Takes a complete reading of a file. */
  update(file: string, documents: readonly DocumentFacts[]): ServiceChanges {
    const entries = new Map<ServiceKey, Entry>();
    const twice: Problem[] = [];
    const ignored: string[] = [];
    const add = (key: ServiceKey, entry: Entry) => {
      const other = entries.get(key);
      if (other === undefined) entries.set(key, entry);
      else
        twice.push(
          twiceProblem({
            file: this.#pathOf(file),
            key,
            document: entry.document,
            other: `document ${other.document}`,
          }),
        );
    };
    for (const [document, facts] of documents.entries()) {
      ignored.push(...facts.ignored);
      for (const service of facts.services)
        add(service.key, { document, service, message: unfollowedOf(service) });
      for (const { key, message } of facts.invalid) add(key, { document, service: null, message });
    }
    return this.#replace(file, { entries, twice, ignored, problem: null, wasRead: true });
  }

  /** Notes why a file is rejected: its Services stay as they were. */
  fail(file: string, problem: Problem): void {
    const known = this.#files.get(file) ?? unread;
    if (known.problem?.message !== problem.message) this.problemsSeq++;
    this.#files.set(file, { ...known, problem });
  }

  /** Removes a file and its Services. */
  remove(file: string): ServiceChanges {
    const changes = this.#replace(file, unread);
    this.#files.delete(file);
    return changes;
  }

  problems(): Problem[] {
    const problems: Problem[] = [];
    for (const [name, { problem, twice, entries }] of this.#files) {
      const file = this.#pathOf(name);
      if (problem !== null) problems.push(problem);
      problems.push(...twice);
      for (const [key, { document, message }] of entries) {
        const [first] = this.#holders.get(key) ?? [];
        if (first !== undefined && first !== name)
          problems.push(twiceProblem({ file, key, document, other: this.#pathOf(first) }));
        if (message !== '') problems.push({ file, document, service: key, message });
      }
    }
    return problems;
  }

  /** The number of documents that are no Service of ours, by kind. */
  ignored(): Record<string, number> {
    const counts = new Map<string, number>();
    for (const { ignored } of this.#files.values())
      for (const kind of ignored) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return Object.fromEntries(counts);
  }

  #replace(file: string, state: FileState): ServiceChanges {
    const { entries: before, problem, twice } = this.#files.get(file) ?? unread;
    this.#files.set(file, state);
    if (problem !== null || twice.length > 0 || state.twice.length > 0) this.problemsSeq++;
    const changes: { set: ServiceManifest[]; remove: ServiceKey[] } = { set: [], remove: [] };
    for (const [key, { message }] of before) {
      if (message !== (state.entries.get(key)?.message ?? '')) this.problemsSeq++;
      if (state.entries.has(key)) continue;
      this.#hold(key, file, false);
      this.#settle(key, changes);
    }
    for (const [key, entry] of state.entries) {
      const known = before.get(key);
      if (known === undefined && entry.message !== '') this.problemsSeq++;
      if (known === undefined) this.#hold(key, file, true);
      // Unchanged documents are the same objects: nearly every comparison ends here.
      else if (known.service === entry.service && known.message === entry.message) continue;
      this.#settle(key, changes);
    }
    return changes;
  }

  #hold(key: ServiceKey, file: string, isHeld: boolean): void {
    const others = (this.#holders.get(key) ?? []).filter((name) => name !== file);
    if (others.length > 0) this.problemsSeq++;
    const holders = isHeld ? [...others, file].sort() : others;
    if (holders.length === 0) this.#holders.delete(key);
    else this.#holders.set(key, holders);
  }

  /**
   * Updates a Service from the file that counts. An invalid Service stays as it was when it was last valid.
   */
  #settle(key: ServiceKey, changes: { set: ServiceManifest[]; remove: ServiceKey[] }): void {
    const [file] = this.#holders.get(key) ?? [];
    const entry = file === undefined ? undefined : this.#files.get(file)?.entries.get(key);
    const known = this.#services.get(key);
    this.invalid.delete(key);
    if (entry === undefined) {
      if (this.#services.delete(key)) changes.remove.push(key);
    } else if (entry.service === null) {
      if (known === undefined) this.invalid.set(key, entry.message);
    } else {
      this.#services.set(key, entry.service);
      if (known !== undefined && JSON.stringify(known) === JSON.stringify(entry.service)) return;
      changes.set.push(entry.service);
    }
  }
}

/** Names what a Service asks for that is unknown or needs a cluster: it is served without that. */
function unfollowedOf({ trafficPolicy, unfollowed }: ServiceManifest): string {
  const all = unfollowed === undefined ? [] : [unfollowed];
  if (trafficPolicy === 'Local') {
    const why = 'manifests have no endpoints, so its VIP may be on any node';
    all.push(`spec.externalTrafficPolicy: Local is ignored: ${why}; see vipward move`);
  }
  return all.length === 0 ? '' : `NotSupported: ${all.join('; ')}`;
}

interface Twice {
  readonly file: string;
  readonly document: number;
  readonly key: ServiceKey;
  readonly other: string;
}

function twiceProblem({ file, document, key, other }: Twice): Problem {
  const message = `${key} is also in ${other}, which comes first: remove one of them`;
  return { file, document, service: key, message };
}
