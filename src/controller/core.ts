// What a controller is without its server: records, source, and the state between them, wired together.

import type { Log } from '../process/log.ts';
import type { ControllerConfig } from './config.ts';
import { Controller } from './controller.ts';
import { Readings } from './readings.ts';
import type { Problem } from './service.ts';
import { FileSource } from './sources/files.ts';
import { type Status, statusOf } from './status.ts';
import { readRecords, Store, stateFile, writeRecords } from './store.ts';

export interface CoreInput {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly massRemovalWaitMs: number;
  /** The first reading was believed: agents that wait are to be told. */
  readonly onPublished: () => void;
}

export interface Core {
  readonly controller: Controller;
  readonly store: Store;
  readonly source: FileSource;
  readonly readings: Readings;
  readonly status: () => Status;
}

/** Reads the records and begins a new generation of terms. Throws StateError. */
export async function makeCore(config: ControllerConfig, input: CoreInput): Promise<Core> {
  const { log, signal, massRemovalWaitMs, onPublished } = input;
  const read = await readRecords(config.stateDir);
  const records = { ...read, generation: read.generation + 1 };
  // A term must never be issued twice: the generation is on the disk before anybody is told of it.
  await writeRecords(config.stateDir, records);
  const nowMs = () => performance.now();
  const onChange = () => store.touch();
  const { pools, filterByDefault, massRemoval } = config;
  const controller = new Controller({ records, pools, filterByDefault, onChange, nowMs });
  const store = new Store({
    dir: config.stateDir,
    records: () => controller.records(),
    onTrouble: (error) => {
      if (error === null) log.info('recordsWritten');
      else log.error({ reason: error.message }, 'recordsNotWritten');
    },
  });
  const source = new FileSource({
    path: config.servicesPath,
    signal,
    onReading: (changes, isComplete) => readings.follow(changes, isComplete),
    onError: (error) => log.error({ reason: (error as Error).message }, 'sourceFailed'),
  });
  const { catalog } = source;
  const readings = new Readings({
    controller,
    truth: catalog,
    massRemoval,
    massRemovalWaitMs,
    readAgain: () => source.readAgain(),
    onPublished: () => {
      log.info({ services: controller.allocator.services.size, vips: controller.rules.size }, 'synced');
      onPublished();
    },
    onMassRemoval: (held) => log.warn({ held }, held === null ? 'massRemovalOver' : 'massRemoval'),
    nowMs,
  });
  const status = () => {
    const [problems, ignored] = [
      [...catalog.problems(), ...recordsProblem(config, store)],
      catalog.ignored(),
    ];
    const reason = controller.isPublished ? null : 'NotComplete';
    const { massRemoval: held } = readings;
    return statusOf({ controller, massRemoval: held, problems, invalid: catalog.invalid, ignored, reason });
  };
  return { controller, store, source, readings, status };
}

/** A controller whose records are not on its disk serves, and would know less after a restart. */
function recordsProblem({ stateDir }: ControllerConfig, { trouble }: Store): Problem[] {
  if (trouble === null) return [];
  return [{ file: stateFile(stateDir), document: null, service: null, message: trouble.message }];
}
