// Authenticates a request by a token of the token file, a ServiceAccount token or a client certificate. A
// node's credential names the node; changing verbs need the operator's.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { bearerToken } from '../../process/http.ts';
import type { Log } from '../../process/log.ts';
import { UsageError } from '../../process/usage.ts';
import { watchFile } from '../../process/watch.ts';

export type Principal =
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'operator' }
  /** The controller requires no credentials. */
  | { readonly kind: 'anyone' };

/** Principals by the hash of their token: the time of a lookup reveals nothing about a nearly right token. */
export type Tokens = ReadonlyMap<string, Principal>;

/**
 * Reads lines `NODE TOKEN` and `operator TOKEN`; skips empty lines and lines that begin with #. Throws
 * UsageError.
 */
export function readTokens(path: string): Tokens {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--token-file ${path}: ${(error as Error).message}`, { cause: error });
  }
  const tokens = new Map<string, Principal>();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === undefined || words[0] === '' || words[0].startsWith('#')) continue;
    const [name, token, more] = words;
    if (token === undefined || more !== undefined) {
      throw new UsageError(`--token-file ${path}: line ${index + 1}: expected NAME TOKEN`);
    }
    if (tokens.has(hashOf(token))) {
      throw new UsageError(
        `--token-file ${path}: line ${index + 1}: the token is that of another line; give each its own`,
      );
    }
    tokens.set(hashOf(token), name === 'operator' ? { kind: 'operator' } : { kind: 'node', name });
  }
  return tokens;
}

const noToken =
  'no token in it: the former tokens stay valid; to revoke them all, write one line with a new token';

export interface TokensWatcher {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Called when the tokens have changed. */
  readonly onRead: () => void;
}

/**
 * The tokens of a file, which is watched; null without a file. If a changed file cannot be read or has no
 * token, as while it is rewritten, the old tokens stay in force. Throws UsageError if it cannot be read at
 * first.
 */
export function watchTokens(
  path: string | undefined,
  { log, signal, onRead }: TokensWatcher,
): () => Tokens | null {
  if (path === undefined) return () => null;
  let tokens = readTokens(path);
  const onError = (error: Error) => log.error({ reason: error.message }, 'tokensRefused');
  const onChange = () => {
    try {
      const read = readTokens(path);
      if (read.size === 0) throw new UsageError(`--token-file ${path}: ${noToken}`);
      tokens = read;
      log.info({ tokens: tokens.size }, 'tokensRead');
      onRead();
    } catch (error) {
      onError(error as Error);
    }
  };
  watchFile({ path, onChange, onError, signal });
  return () => tokens;
}

export interface CredentialsInput {
  /** Null if there is no token file. */
  readonly tokens: () => Tokens | null;
  readonly takesCertificates: boolean;
  /** Finds the node of a ServiceAccount token. Null where the cluster's tokens are not accepted. */
  readonly nodeOfToken: ((token: string) => string | null) | null;
}

/** The principal of a request; null if credentials are required and it has no valid one. */
export function principalOf(
  request: IncomingMessage,
  { tokens, takesCertificates, nodeOfToken }: CredentialsInput,
): Principal | null {
  const known = tokens();
  if (known === null && !takesCertificates && nodeOfToken === null) return { kind: 'anyone' };
  const token = bearerToken(request);
  if (token !== null) return known?.get(hashOf(token)) ?? ofServiceAccount(nodeOfToken?.(token) ?? null);
  return takesCertificates ? ofCertificate(request.socket as TLSSocket) : null;
}

function ofServiceAccount(name: string | null): Principal | null {
  return name === null ? null : { kind: 'node', name };
}

function ofCertificate(socket: TLSSocket): Principal | null {
  if (socket.authorized !== true) return null;
  // Null on a closed socket, although the type says otherwise.
  const certificate = socket.getPeerCertificate() as Partial<PeerCertificate> | null;
  for (const name of (certificate?.subjectaltname ?? '').split(', ')) {
    const match = /^URI:vipward:\/\/(?:node\/([a-z0-9][-a-z0-9.]*)|(operator))$/.exec(name);
    if (match?.[1] !== undefined) return { kind: 'node', name: match[1] };
    if (match?.[2] !== undefined) return { kind: 'operator' };
  }
  return null;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
