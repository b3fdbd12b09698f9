// A controller without its server: wires records, source and the state between them.

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
import { problemAt } from './service.ts';
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
  /** Called when the first reading is believed: waiting agents are to be sent it. */
  readonly onPublished: () => void;
  /** Called when this process must end. The server is closed, and the process prints the message last. */
  readonly onFatal: (error: Error) => void;
}

/** A report of an agent, or a completed move. */
export type CoreEvent =
  | { readonly kind: 'generationRaised'; readonly generation: number; readonly node: string }
  | { readonly kind: 'impossibleTerm'; readonly node: string; readonly address: string }
  | { readonly kind: 'moved'; readonly node: string; readonly address: Address };

export interface Core {
  readonly controller: Controller;
  readonly readings: Readings;
  /** The input of the status. */
  readonly statusInput: () => StatusInput;
  /** The certificate that the controllers of a cluster share, if the server shows it; else null. */
  readonly certificate: ChangingPair | null;
  /** When a Service that was given another address may let go of the old one. */
  readonly replaces: Pick<ReplacingInput, 'isTold' | 'followMs'>;
  /** Uses these pools as soon as that is allowed. */
  readonly usePools: (pools: readonly Pool[]) => void;
  /** True once the source was read whole: agents may connect. */
  readonly isOpen: () => boolean;
  /** What the welcome tells agents of this controller. */
  readonly self: () => Omit<Self, 'version'>;
  /** Reports an event to the operator; the log has it already. */
  readonly happened: (what: CoreEvent) => void;
  /** Called after each message of a node: what waits for nodes is checked again. */
  readonly progressed: () => void;
  /** Returns the node of an agent's ServiceAccount token, or null. Null itself where no tokens are taken. */
  readonly nodeOfToken: ((token: string) => string | null) | null;
  /** Starts reading the source. With files it resolves after the first reading. */
  readonly start: () => Promise<void>;
  /** Resolves when everything is written and stopped, after the signal was aborted. */
  readonly end: () => Promise<void>;
}

export type FileConfig = Extract<SourceConfig, { kind: 'files' }>;

/** Problems in one log line; the status lists all. */
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
  const statusInput = () => ({
    controller,
    massRemoval: readings.massRemoval,
    problems: [...catalog.problems(), ...problemAt(stateFile(stateDir), store.trouble?.message ?? null)],
    invalid: catalog.invalid,
    ignored: catalog.ignored(),
    reason: controller.isPublished ? null : 'NotComplete',
  });
  return {
    controller,
    readings,
    statusInput,
    nodeOfToken: null,
    certificate: null,
    // Nobody reads addresses back from files, and no cluster wants to know what happens.
    replaces: { isTold: () => true, followMs: 0 },
    progressed: () => undefined,
    happened: () => undefined,
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

/** Locks the records and raises their generation. Throws StateError. */
async function begin(stateDir: string): Promise<{ readonly records: Records; readonly lock: Lock }> {
  const lock = await takeLock(stateDir);
  try {
    const read = await readRecords(stateDir);
    const records = { ...read, generation: read.generation + 1 };
    // A term must never be issued twice: the generation is on disk before any agent hears it.
    await writeRecords(stateDir, records);
    return { records, lock };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** Logs the problems of the files whenever they change, and when the last one is gone. */
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

/** The readings of any source, with their log lines. */
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
