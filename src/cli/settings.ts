// Turns a verb's flags and environment into the server to ask and the output format.

import { envName } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import { parseDuration } from '../process/values.ts';
import { defaultOrigin, parseOrigins, type Server } from './client.ts';
import { type NamedFile, readCa, readToken } from './credentials.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The surroundings of a verb: everything it reads and writes. */
export interface Surroundings {
  readonly env: Environment;
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly err: { write(text: string): unknown };
  /** Aborted when the reader of the output is gone; a verb that runs on then ends. */
  readonly gone?: AbortSignal;
}

/** The flags that commander read, as texts; `true` for a flag with an optional value that has none. */
export interface Flags {
  readonly controller?: string;
  readonly agent?: string | true;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly timeout?: string;
  readonly output?: string;
}

export const outputs = ['table', 'wide', 'json'] as const;
export type Output = (typeof outputs)[number];

/**
 * The server of a role, by flag, then environment, then default. An agent gets no token: it needs none, and
 * another process on its port could steal it. Throws UsageError.
 */
export function serverOf(
  role: Server['role'],
  flags: Flags,
  { env, err }: Pick<Surroundings, 'env' | 'err'>,
): Server {
  const flag = flags[role] === true ? undefined : flags[role];
  const variable = `VIPWARD_${role.toUpperCase()}`;
  const text = flag ?? valueIn(env, variable);
  const where = flag === undefined ? variable : `--${role}`;
  const origins = text === undefined ? [defaultOrigin(role)] : parseOrigins(text, where);
  if (origins.length === 0) throw new UsageError(`${where}: expected a URL, got nothing`);
  const tokenFile = fileOf(flags.tokenFile, 'token-file', env);
  const caFile = fileOf(flags.caFile, 'ca-file', env);
  return {
    role,
    origins,
    token: role === 'agent' || tokenFile === undefined ? undefined : readToken(tokenFile),
    ca: caFile === undefined ? undefined : readCa(caFile),
    timeoutMs: timeoutOf(flags, env),
    say: (text) => err.write(`vipward: ${text}\n`),
  };
}

/** The role that the user chose for a status, if any; a flag takes precedence over any variable. */
export function chosenRole(flags: Flags, env: Environment): Server['role'] | undefined {
  if (flags.agent !== undefined) return 'agent';
  if (flags.controller !== undefined || valueIn(env, 'VIPWARD_CONTROLLER') !== undefined) return 'controller';
  return valueIn(env, 'VIPWARD_AGENT') === undefined ? undefined : 'agent';
}

export function outputOf({ output }: Flags, env: Environment): Output {
  const text = output ?? valueIn(env, 'VIPWARD_OUTPUT') ?? 'table';
  if (text === 'table' || text === 'wide' || text === 'json') return text;
  const where = output === undefined ? 'VIPWARD_OUTPUT' : '--output';
  throw new UsageError(`${where}: expected table, wide or json, got ${JSON.stringify(text)}`);
}

function timeoutOf({ timeout }: Flags, env: Environment): number {
  const text = timeout ?? valueIn(env, 'VIPWARD_TIMEOUT') ?? '10s';
  const where = timeout === undefined ? 'VIPWARD_TIMEOUT' : '--timeout';
  const timeoutMs = parseDuration(text, where);
  if (timeoutMs > 0 && timeoutMs <= 2 ** 31 - 1) return timeoutMs;
  throw new UsageError(`${where}: expected more than 0 and at most 24 days, got ${text}`);
}

/** The file that a flag or the variable of the same name names. */
function fileOf(flag: string | undefined, name: string, env: Environment): NamedFile | undefined {
  const variable = envName(name);
  const path = flag ?? valueIn(env, variable);
  return path === undefined ? undefined : { path, where: flag === undefined ? variable : `--${name}` };
}

/** An empty variable counts as unset, since container manifests often set variables to an empty text. */
function valueIn(env: Environment, name: string): string | undefined {
  return env[name] === '' ? undefined : env[name];
}
