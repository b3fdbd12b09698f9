// Watches a file of a running process (config, tokens, certificates) and reports each change once it has
// settled.

import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

export interface WatchedFile {
  readonly path: string;
  readonly onChange: () => void;
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
}

/** How long a file must stay unchanged before it is reported: an editor writes in several steps. */
const settleMs = 50;

/**
 * Watches the folder: an editor and a mounted Secret replace the file, and a watch of the file would keep the
 * old one. Kubernetes swaps a `..data` link in the folder, so names that begin with two dots count too. By a
 * link or a rename another folder may come to the path of this one, and is watched from then on.
 */
export function watchFile({ path, onChange, onError, signal }: WatchedFile): void {
  const [folder, name] = [resolve(dirname(path)), basename(path)];
  let timer: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  const settled = () => {
    clearTimeout(timer);
    timer = setTimeout(onChange, settleMs).unref();
  };
  const follow = () => {
    watcher?.close();
    watcher = watch(folder, { signal, persistent: false }, (_, changed) => {
      if (changed === null || changed === name || changed.startsWith('..')) settled();
    });
    watcher.on('error', onError);
  };
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  // A folder that is missing for a moment is followed when it is back; the folder above may be unreadable.
  attempt(() => {
    const above = watch(dirname(folder), { signal, persistent: false }, (_, changed) => {
      if (changed !== basename(folder)) return;
      attempt(follow);
      settled();
    });
    above.on('error', onError);
  });
  attempt(follow, onError);
}

function attempt(act: () => void, onError?: (error: Error) => void): void {
  try {
    act();
  } catch (error) {
    onError?.(error instanceof Error ? error : new Error(String(error)));
  }
}
