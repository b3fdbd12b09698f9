// Watches the config file of a running process and reads it again when it changes.

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
  /** The values read before the watch begins. */
  readonly inForce: OptionValues<Specs>;
  /** Dispatches `reload` when the file is to be read again, changed or not. */
  readonly reloads: EventTarget;
  readonly onChange: (found: OptionResult<Specs>) => void;
  /** The file cannot be read: the values in force stay. */
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
}

/**
 * Calls `onChange` with all values each time the file has changed, also if it changed before the watch. Flags
 * and environment still take precedence.
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

/** The keys whose values differ, compared as text. */
export function differingKeys<Values extends object>(now: Values, next: Values): (keyof Values)[] {
  const keys = Object.keys(now) as (keyof Values)[];
  return keys.filter((key) => `${now[key]}` !== `${next[key]}`);
}
