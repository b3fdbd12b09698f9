// A controller without its server that reads Services from files and keeps its records in a folder.
// kubernetes-core.ts does the same for a cluster.

import type { Log } from '../process/log.ts';
import type { ControllerConfig, SourceConfig } from './config.ts';
import { Controller } from './controller.ts';
import { type Core, type CoreInput, makeReadings, nowMs } from './core.ts';
import { type Lock, takeLock } from './records/lock.ts';
import { type Records, readRecords, stateFile, writeRecords } from './records/records.ts';
import { Store } from './records/store.ts';
import { problemAt } from './service.ts';
import type { Catalog } from './sources/catalog.ts';
import { FileSource } from './sources/files.ts';
import { problemLog } from './sources/problem-log.ts';

type FileConfig = Extract<SourceConfig, { kind: 'files' }>;

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
    droppedEvents: () => 0,
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

/** Looks at the problems of the files only when they may have changed: that costs a look at every Service. */
function problemTeller(catalog: Catalog, log: Log): () => void {
  const tell = problemLog(log);
  let seq = catalog.problemsSeq;
  return () => {
    if (catalog.problemsSeq === seq) return;
    seq = catalog.problemsSeq;
    tell(catalog.problems());
  };
}
