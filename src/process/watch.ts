// A file that may change under a running process (config, tokens, certificates): says so once each time it
// has settled.

import { watch } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface WatchedFile {
  readonly path: string;
  readonly onChange: () => void;
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
}

/** How long a file must be left alone before it is read again: an editor writes in several steps. */
const settleMs = 50;

/**
 * Watches the folder, not the file: an editor and a mounted Secret replace the file, and a watch of the file
 * itself would stay with the old one. Kubernetes swaps a `..data` link beside it, so names with two dots
 * count as well.
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
