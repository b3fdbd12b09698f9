// The config file of a running process: read again when it changes, and given to whoever can follow it.

import {
  type OptionInput,
  type OptionResult,
  type OptionSpec,
  type OptionValues,
  readOptions,
} from './options.ts';
import { watchFile } from './watch.ts';

export interface WatchedConfig<Specs extends readonly OptionSpec[]> {
  readonly path: string;
  readonly specs: Specs;
  readonly input: OptionInput;
  /** What was read of the file before it is watched. */
  readonly inForce: OptionValues<Specs>;
  /** Says `reload` when the file is to be read again, changed or not. */
  readonly reloads: EventTarget;
  readonly onChange: (found: OptionResult<Specs>) => void;
  /** A file that cannot be read any more: the values in force stay. */
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
}

/**
 * Calls `onChange` with all values, flags and environment still before the file, each time the file has
 * changed; also where it has before it was watched.
 */
export function watchConfig<const Specs extends readonly OptionSpec[]>(watched: WatchedConfig<Specs>): void {
  const { path, specs, input, inForce, reloads, onChange, onError, signal } = watched;
  const failed = (error: unknown) => onError(error instanceof Error ? error : new Error(String(error)));
  const read = () => {
    readOptions(specs, input).then(onChange, failed);
  };
  watchFile({ path, onChange: read, onError, signal });
  readOptions(specs, input).then((found) => {
    if (differingKeys(inForce, found.values).length > 0) onChange(found);
  }, failed);
  reloads.addEventListener('reload', read, { signal });
}

/** The keys whose values differ: the same texts were read by the same table. */
export function differingKeys<Values extends object>(now: Values, next: Values): (keyof Values)[] {
  const keys = Object.keys(now) as (keyof Values)[];
  return keys.filter((key) => `${now[key]}` !== `${next[key]}`);
}
