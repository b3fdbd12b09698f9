// The log: pino, on a destination that never makes anybody wait. A line that finds the pipe full is dropped,
// counted.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { pino } from 'pino';

export type Log = pino.Logger;

/** The choices of `--log-level`. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LogDestination extends Disposable {
  write(line: string): void;
  /** Lines that were given up since the start. */
  readonly dropped: number;
}

/**
 * How much may wait for the reader of a socket, where each write cannot be asked whether it would block: as
 * much as a pipe holds.
 */
const socketLimitBytes = 64 * 1024;
/** How long the end of a program waits for such a reader. */
const lastWordsMs = 500;

export function createLog(level: LogLevel, destination: LogDestination, bindings: object = {}): Log {
  const options = { level, base: null, messageKey: 'event', timestamp: pino.stdTimeFunctions.isoTime };
  return pino(options, destination).child(bindings);
}

/** The count of lines that were given up, in the text format of Prometheus. */
export function droppedLinesText({ dropped }: Pick<LogDestination, 'dropped'>): string {
  const name = 'vipward_log_lines_dropped_total';
  const help = 'Log lines that found their reader stalled';
  return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${name} ${dropped}\n`;
}

/**
 * Opens a file descriptor, 1 by default, as a destination. Nothing of the shared file description is changed.
 */
export function openLogDestination(fd = 1): LogDestination {
  const stat = fstatSync(fd);
  if (stat.isSocket()) return socketDestination(fd);
  return descriptorDestination(reopen(fd) ?? fd);
}

/**
 * The same pipe, terminal or file with flags of its own. O_NONBLOCK set on the inherited description would be
 * seen by every process that shares it: a shell would find its own terminal non-blocking afterwards.
 */
function reopen(fd: number): number | undefined {
  const { O_WRONLY, O_NONBLOCK, O_APPEND, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY);
  } catch {
    // A file of another user, or no /proc: regular files do not block for long, and a pipe is then as it was
    // given.
    return undefined;
  }
}

function descriptorDestination(fd: number): LogDestination {
  let dropped = 0;
  let rest: Buffer | undefined;
  // Writes what it can, and returns what is left.
  const push = (bytes: Buffer): Buffer | undefined => {
    try {
      const written = writeSync(fd, bytes);
      return written < bytes.length ? bytes.subarray(written) : undefined;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // Any other error is a reader that has gone: the log is then lost, the process must not be.
      return code === 'EAGAIN' ? bytes : undefined;
    }
  };
  return {
    write(line) {
      if (rest !== undefined) rest = push(rest);
      const bytes = Buffer.from(line);
      const left = rest === undefined ? push(bytes) : bytes;
      if (left === undefined) return;
      // A line that is half written must be finished, or it would be glued to the next one.
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
 * A socket, as systemd gives it, cannot be opened again through /proc (ENXIO): libuv writes to it without
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
      // Not its end, which would shut the socket for all who share it.
      socket.write('', () => socket.destroy());
      setTimeout(() => socket.destroy(), lastWordsMs).unref();
    },
  };
}
