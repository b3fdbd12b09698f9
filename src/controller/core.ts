// What a controller is without its server: records, source, and the state between them, wired together.

import type { Log } from '../process/log.ts';
import type { Address } from '../state/address.ts';
import type { Pool } from './allocation/pools.ts';
import type { ControllerConfig, SourceConfig } from './config.ts';
import { Controller } from './controller.ts';
import { Readings, type ReadingsInput } from './readings/readings.ts';
import { type Lock, takeLock } from './records/lock.ts';
import { type Records, readRecords, stateFile, writeRecords } from './records/records.ts';
import { Store } from './records/store.ts';
import type { ReplacingInput } from './replacing.ts';
import type { ChangingPair } from './server.ts';
import { type Problem, problemAt } from './service.ts';
import type { Catalog } from './sources/catalog.ts';
import { FileSource } from './sources/files.ts';
import type { StatusInput } from './status/status.ts';
import type { Self } from './stream/welcome.ts';

export interface CoreInput {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly massRemovalWaitMs: number;
  /** The first reading was believed: agents that wait are to be told. */
  readonly onPublished: () => void;
  /** This process must not go on; what is open is closed, and the message is its last word. */
  readonly onFatal: (error: Error) => void;
}

/** What agents have made known that is not in order. */
export type CoreEvent =
  | { readonly kind: 'generationRaised'; readonly generation: number; readonly node: string }
  | { readonly kind: 'impossibleTerm'; readonly node: string; readonly address: string }
  | { readonly kind: 'moved'; readonly node: string; readonly address: Address };

export interface Core {
  readonly controller: Controller;
  readonly readings: Readings;
  /** What the status is made of. */
  readonly statusInput: () => StatusInput;
  /** The certificate that controllers of a cluster share, where the server shows it. */
  readonly certificate: ChangingPair | null;
  /** When a Service that was given another address may let go of the old one. */
  readonly replaces: Pick<ReplacingInput, 'isTold' | 'followMs'>;
  /** Takes over other pools, as soon as that may be done. */
  readonly usePools: (pools: readonly Pool[]) => void;
  /** Agents may come: the source was read whole. */
  readonly isOpen: () => boolean;
  /** What agents are told of this controller when they come. */
  readonly self: () => Omit<Self, 'version'>;
  /** Something that an operator should hear of; it is in the log already. */
  readonly happened: (what: CoreEvent) => void;
  /** A node has said something: what was awaited of it may be so now. */
  readonly progressed: () => void;
  /** The node of an agent's ServiceAccount token, or null; null itself where none are taken. */
  readonly nodeOfToken: ((token: string) => string | null) | null;
  /** Begins to read the source. From files it resolves after the first reading. */
  readonly start: () => Promise<void>;
  /** Resolves when everything is written and ended, after the signal was aborted. */
  readonly end: () => Promise<void>;
}

export type FileConfig = Extract<SourceConfig, { kind: 'files' }>;

/** Problems of one line of the log; the status has all. */
const mostLogged = 10;

/** Reads the records and begins a new generation of terms. Throws StateError. */
export async function makeFileCore(
  config: ControllerConfig,
  { path, stateDir }: FileConfig,
  input: CoreInput,
): Promise<Core> {
  const { log, signal } = input;
  const { records, lock } = await begin(stateDir);
  if (lock.problem !== null) log.warn({ reason: lock.problem }, 'recordsNotLocked');
  const onChange = () => store.touch();
  const { pools, filterByDefault } = config;
  const controller = new Controller({ records, pools, filterByDefault, onChange, nowMs });
  const store = new Store({
    dir: stateDir,
    records: () => controller.records(),
    onTrouble: (error) => {
      if (error === null) log.info('recordsWritten');
      else log.error({ reason: error.message }, 'recordsNotWritten');
    },
  });
  const source = new FileSource({
    path,
    signal,
    onReading: (changes, isComplete) => {
      tell();
      readings.follow(changes, isComplete);
    },
    onError: (error) => log.error({ reason: (error as Error).message }, 'sourceFailed'),
  });
  const { catalog } = source;
  const tell = problemTeller(catalog, log);
  const readAgain = () => source.readAgain();
  const mayBelieve = () => true;
  const readings = makeReadings({ controller, truth: catalog, readAgain, mayBelieve }, config, input);
  const statusInput = () => {
    const [problems, ignored] = [
      [...catalog.problems(), ...recordsProblem(stateDir, store)],
      catalog.ignored(),
    ];
    const reason = controller.isPublished ? null : 'NotComplete';
    const { massRemoval: held } = readings;
    return { controller, massRemoval: held, problems, invalid: catalog.invalid, ignored, reason };
  };
  const [progressed, happened] = [() => undefined, () => undefined];
  return {
    // Nobody reads addresses from files.
    replaces: { isTold: () => true, followMs: 0 },
    ...{ nodeOfToken: null, certificate: null, controller, readings, statusInput, progressed, happened },
    usePools: (changed) => void readings.usePools(changed),
    isOpen: () => readings.wasReadWhole,
    self: () => ({ cluster: controller.cluster, generation: controller.generation, ruling: true }),
    start: () => source.start(),
    end: async () => {
      await store.flush();
      lock[Symbol.dispose]();
    },
  };
}

/** The records of a new generation, which nobody else writes. Throws StateError. */
async function begin(stateDir: string): Promise<{ readonly records: Records; readonly lock: Lock }> {
  const lock = await takeLock(stateDir);
  try {
    const read = await readRecords(stateDir);
    const records = { ...read, generation: read.generation + 1 };
    // A term must never be issued twice: the generation is on the disk before anybody is told of it.
    await writeRecords(stateDir, records);
    return { records, lock };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** Logs what is wrong with files, and that nothing is any more, each time that it is other than before. */
function problemTeller(catalog: Catalog, log: Log): () => void {
  let [seq, told] = [catalog.problemsSeq, ''];
  return () => {
    if (catalog.problemsSeq === seq) return;
    seq = catalog.problemsSeq;
    const problems = catalog.problems().map(({ file, service, message }) => {
      return `${file}: ${service === null ? '' : `${service}: `}${message}`;
    });
    const text = problems.join('\n');
    if (text === told) return;
    told = text;
    log.warn({ count: problems.length, problems: problems.slice(0, mostLogged) }, 'sourceState');
  };
}

/** The readings of any source, with what is logged of them. */
export function makeReadings(
  parts: Pick<ReadingsInput, 'controller' | 'truth' | 'readAgain' | 'mayBelieve'> & Partial<ReadingsInput>,
  { massRemoval }: ControllerConfig,
  { log, massRemovalWaitMs, onPublished }: CoreInput,
): Readings {
  const { controller } = parts;
  return new Readings({
    ...parts,
    massRemoval,
    massRemovalWaitMs,
    onPublished: () => {
      log.info({ services: controller.allocator.services.size, vips: controller.rules.size }, 'synced');
      onPublished();
    },
    onMassRemoval: (held) => {
      log.warn({ held }, held === null ? 'massRemovalOver' : 'massRemoval');
      parts.onMassRemoval?.(held);
    },
    nowMs,
  });
}

export function nowMs(): number {
  return performance.now();
}

/** A controller whose records are not on its disk serves, and would know less after a restart. */
function recordsProblem(stateDir: string, { trouble }: Store): Problem[] {
  return problemAt(stateFile(stateDir), trouble?.message ?? null);
}
