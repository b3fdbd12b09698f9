// Parses the texts of flags, environment variables and config files, for options.ts.

import { UsageError } from './usage.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Parses `500ms`, `1.5s`, `2m`, `1h` or `0` to whole milliseconds. Throws UsageError, beginning with `where`.
 */
export function parseDuration(text: string, where: string): number {
  if (text === '0') return 0;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const unit = unitMs[match?.[2] ?? ''];
  if (match === null || unit === undefined) {
    throw new UsageError(
      `${where}: expected a duration such as 500ms, 1.5s or 2m, got ${JSON.stringify(text)}`,
    );
  }
  const exactMs = Number(match[1]) * unit;
  // Rounds, as 16.1 * 1000 is a little more than 16100. A short duration must not become 0.
  return exactMs < 1 ? Math.ceil(exactMs) : Math.round(exactMs);
}

/** Parses a whole number of 0 or more. */
export function parseCount(text: string, where: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`${where}: expected a whole number of 0 or more, got ${JSON.stringify(text)}`);
}

/** Parses `true` or `false`, the value of a flag in an environment variable or a config file. */
export function parseFlag(text: string, where: string): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw new UsageError(`${where}: expected true or false, got ${JSON.stringify(text)}`);
}

/** The items of `a,b,c`, without white space and empty ones. */
export function parseList(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => text.split(',').map((item) => item.trim())).filter((item) => item !== '');
}

export interface HostPort {
  /** Undefined for every address, with IPv6 if the kernel has it. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Throws UsageError unless the text is `HOST:PORT`. */
export function checkHostPort([text = '']: readonly string[], where: string): void {
  parseHostPort(text, where);
}

/** Parses `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (every address). Port 0 lets the kernel choose. */
export function parseHostPort(text: string, where: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) {
    throw new UsageError(
      `${where}: expected HOST:PORT such as 127.0.0.1:9470 or [::1]:9470, got ${JSON.stringify(text)}`,
    );
  }
  return { host: match[1] ?? (match[2] || undefined), port: Number(match[3]) };
}

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false;
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
