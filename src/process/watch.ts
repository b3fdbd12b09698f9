// Watches a file of a running process (config, tokens, certificates) and reports each change once it has
// settled.

import { watch } from 'node:fs';
import { basename, dirname } from 'node:path';

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
 * old one. Kubernetes swaps a `..data` link in the folder, so names that begin with two dots count too.
 */
export function watchFile({ path, onChange, onError, signal }: WatchedFile): void {
  const name = basename(path);
  let timer: NodeJS.Timeout | undefined;
  const settled = (_: string, changed: string | null) => {
    if (changed !== null && changed !== name && !changed.startsWith('..')) return;
    clearTimeout(timer);
    timer = setTimeout(onChange, settleMs).unref();
  };
  try {
    const watcher = watch(dirname(path), { signal, persistent: false }, settled);
    watcher.on('error', onError);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  } catch (error) {
    onError(error instanceof Error ? error : new Error(String(error)));
  }
}
