// A test file that does not end would keep the whole run from its verdict: it is killed, and its processes
// are named.
import { readdirSync, readFileSync } from 'node:fs';

const lookMs = 15_000;

/** A process as /proc/PID/stat and cmdline have it (proc_pid_stat(5)). */
interface Running {
  readonly pid: number;
  readonly parent: number;
  /** One letter, such as `S`. */
  readonly state: string;
  readonly words: string;
}

/**
 * From now on kills each child of a process, with all that it started, once it is older than so many
 * milliseconds; `say` is told what was running. Does not keep this process alive.
 */
export function endOverdue(parent: number, longestMs: number, say: (text: string) => void): void {
  const seenMs = new Map<number, number>();
  const look = (): void => {
    const all = running();
    for (const child of all) {
      if (child.parent !== parent) continue;
      const sinceMs = seenMs.get(child.pid) ?? performance.now();
      seenMs.set(child.pid, sinceMs);
      if (performance.now() - sinceMs < longestMs) continue;
      const family = withDescendants(child, all);
      const lines = family.map(({ pid, state, words }) => `     ${pid} ${state} ${words}\n`);
      say(`ended, since it did not end within ${Math.round(longestMs / 60_000)} minutes:\n${lines.join('')}`);
      for (const { pid } of family) kill(pid);
    }
  };
  setInterval(look, Math.min(lookMs, longestMs)).unref();
}

function withDescendants(root: Running, all: readonly Running[]): Running[] {
  const children = all.filter(({ parent }) => parent === root.pid);
  return [root, ...children.flatMap((child) => withDescendants(child, all))];
}

function running(): Running[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [readProcess(Number(name))];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

function readProcess(pid: number): Running {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name stands in parentheses and may hold any character.
  const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  return { pid, parent: Number(parent), state, words: shortened(words) };
}

/** Node names the file of a test behind fifty flags. */
function shortened(words: string): string {
  return words.length <= 300 ? words : `${words.slice(0, 150)} ... ${words.slice(-150)}`;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended with its parent.
  }
}
