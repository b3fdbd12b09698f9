// Watches a file of a running process (config, tokens, certificates) and reports each change once it has
// settled.

import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';

export interface WatchedFile {
  readonly path: string;
  readonly onChange: () => void;
  readonly onError: (error: Error) => void;
  readonly signal: AbortSignal;
}

/** How long a file must stay unchanged before it is reported: an editor writes in several steps. */
const settleMs = 50;
/** inotify has a limit of watches, and sees no link further up: the file is looked at this often. */
const lookMs = 10_000;

/**
 * Watches the folder: an editor and a mounted Secret replace the file, and a watch of the file would keep the
 * old one. Kubernetes swaps a `..data` link in the folder, so names that begin with two dots count too. By a
 * link or a rename another folder may come to the path of this one, and is watched from then on.
 */
export function watchFile({ path, onChange, onError, signal }: WatchedFile): void {
  const [folder, name] = [resolve(dirname(path)), basename(path)];
  let timer: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  let known = stampOf(path);
  const report = async () => {
    known = stampOf(path);
    await known;
    if (!signal.aborted) onChange();
  };
  const settled = () => {
    clearTimeout(timer);
    timer = setTimeout(() => void report(), settleMs).unref();
  };
  const follow = () => {
    watcher?.close();
    watcher = watch(folder, { signal, persistent: false }, (_, changed) => {
      if (changed === null || changed === name || changed.startsWith('..')) settled();
    });
    watcher.on('error', onError);
  };
  const again = () => {
    attempt(follow);
    settled();
  };
  const look = async () => {
    if ((await stampOf(path)) !== (await known) && !signal.aborted) again();
  };
  const looking = setInterval(() => void look(), lookMs).unref();
  const end = () => {
    clearTimeout(timer);
    clearInterval(looking);
  };
  signal.addEventListener('abort', end, { once: true });
  // A folder that is missing for a moment is followed when it is back; the folder above may be unreadable.
  attempt(() => {
    const above = watch(dirname(folder), { signal, persistent: false }, (_, changed) => {
      if (changed === basename(folder)) again();
    });
    above.on('error', onError);
  });
  attempt(follow, onError);
}

/** What differs once the file was written or another one is at its path; empty if there is none. */
async function stampOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? '' : [found.dev, found.ino, found.size, found.mtimeNs].join(' ');
}

function attempt(act: () => void, onError?: (error: Error) => void): void {
  try {
    act();
  } catch (error) {
    onError?.(error instanceof Error ? error : new Error(String(error)));
  }
}
