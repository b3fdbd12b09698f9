// The resident memory of a process, from /proc.

import { readFileSync } from 'node:fs';

/** Its present memory, or its peak. */
export type Memory = 'VmRSS' | 'VmHWM';

/** Megabytes, of 1,000,000 bytes. */
export function memoryMb(pid: number, which: Memory): number {
  const kib = new RegExp(`${which}:\\s*(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round((Number(kib) * 1024) / 100_000) / 10;
}
