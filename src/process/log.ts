// The log: pino, on a destination that never blocks. A line that finds the pipe full is dropped and counted.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { pino } from 'pino';

export type Log = pino.Logger;

/** The choices of `--log-level`. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LogDestination extends Disposable {
  write(line: string): void;
  /** The number of lines dropped since the start. */
  readonly dropped: number;
}

/**
 * How much may wait for the reader of a socket, which does not tell whether a write would block: as much as a
 * pipe holds.
 */
const socketLimitBytes = 64 * 1024;
/** How long an ending program waits for that reader. */
const lastWordsMs = 500;

export function createLog(level: LogLevel, destination: LogDestination, bindings: object = {}): Log {
  const options = { level, base: null, messageKey: 'event', timestamp: pino.stdTimeFunctions.isoTime };
  return pino(options, destination).child(bindings);
}

/** The number of dropped lines, in the text format of Prometheus. */
export function droppedLinesText({ dropped }: Pick<LogDestination, 'dropped'>): string {
  const name = 'vipward_log_lines_dropped_total';
  const help = 'Log lines dropped because their reader stalled';
  return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${name} ${dropped}\n`;
}

/**
 * Opens a file descriptor, 1 by default, as a destination. Changes no flags of the shared file description.
 */
export function openLogDestination(fd = 1): LogDestination {
  const stat = fstatSync(fd);
  if (stat.isSocket()) return socketDestination(fd);
  // A file does not block for long. Its place is shared with stderr and the shell, which would else write
  // over the log.
  return descriptorDestination(stat.isFile() ? fd : (reopen(fd) ?? fd));
}

/**
 * Opens the same pipe or terminal again with its own flags. Every process that shares the inherited
 * description would see O_NONBLOCK on it: a shell would find its terminal non-blocking afterwards.
 */
function reopen(fd: number): number | undefined {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // It is another user's, or there is no /proc: it stays as it was given.
    return undefined;
  }
}

function descriptorDestination(fd: number): LogDestination {
  let dropped = 0;
  let rest: Buffer | undefined;
  // Writes what fits, and returns the rest.
  const push = (bytes: Buffer): Buffer | undefined => {
    try {
      const written = writeSync(fd, bytes);
      return written < bytes.length ? bytes.subarray(written) : undefined;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // Any other error means that the reader is gone: the log is lost, but the process goes on.
      return code === 'EAGAIN' ? bytes : undefined;
    }
  };
  return {
    write(line) {
      if (rest !== undefined) rest = push(rest);
      const bytes = Buffer.from(line);
      const left = rest === undefined ? push(bytes) : bytes;
      if (left === undefined) return;
      // A half-written line must be finished first, or the next line would be appended to it.
      if (rest === undefined && left.length < bytes.length) rest = left;
      else dropped++;
    },
    get dropped() {
      return dropped;
    },
    [Symbol.dispose]() {
      if (fd > 2) closeSync(fd);
    },
  };
}

/**
 * A socket, such as systemd's, cannot be opened again through /proc (ENXIO). libuv writes to it without
 * blocking.
 */
function socketDestination(fd: number): LogDestination {
  const socket = new Socket({ fd, readable: false, writable: true });
  socket.unref();
  socket.on('error', () => undefined);
  let dropped = 0;
  return {
    write(line) {
      if (socket.writableLength < socketLimitBytes && socket.writable) socket.write(line);
      else dropped++;
    },
    get dropped() {
      return dropped;
    },
    [Symbol.dispose]() {
      // No end(), which would shut the socket down for every process that shares it.
      socket.write('', () => socket.destroy());
      setTimeout(() => socket.destroy(), lastWordsMs).unref();
    },
  };
}
