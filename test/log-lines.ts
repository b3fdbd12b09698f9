// A log whose lines a test can read.

import { createLog, type Log, type LogLevel } from '../src/process/log.ts';

export interface LogLine {
  readonly level: number;
  readonly event: string;
  readonly url?: string;
  readonly [field: string]: unknown;
}

export function logLines(level: LogLevel = 'info'): {
  readonly log: Log;
  readonly lines: readonly LogLine[];
} {
  const lines: LogLine[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const log = createLog(level, { write, dropped: 0, [Symbol.dispose]: () => undefined });
  return { log, lines };
}
