// What a node shows to controllers and believes them by: files, read anew at each attempt, so that none of
// them needs a restart when it changes.

import { readFile } from 'node:fs/promises';
import type { AgentValues } from '../config.ts';

/** The texts of files; undefined where none was named. */
export interface Credentials {
  readonly token: string | undefined;
  /** Three in PEM. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

type Files = Pick<AgentValues, 'tokenFile' | 'caFile' | 'cert' | 'key'>;

/** A file that was read, and holds no token. */
export class TokenError extends Error {
  readonly code = 'BadToken';
}

/** Rejects with the error of the first file that cannot be read, or with TokenError. */
export async function readCredentials(files: Files): Promise<Credentials> {
  const [token, ca, cert, key] = await Promise.all(
    [files.tokenFile, files.caFile, files.cert, files.key].map((path) => {
      return path === undefined ? undefined : readFile(path, 'utf8');
    }),
  );
  return { token: token === undefined ? undefined : tokenOf(token, files.tokenFile), ca, cert, key };
}

/** What no header can carry would be shown to nobody, and blamed on the controller. */
function tokenOf(text: string, path: string | undefined): string {
  const token = text.trim();
  if (/^[!-~]+$/.test(token)) return token;
  const words = token === '' ? 0 : token.split(/\s+/).length;
  const found = words === 1 ? 'one with letters that are not ASCII' : `${words} words`;
  throw new TokenError(`--token-file ${path}: expected one token, got ${found}`);
}

/** How they are shown in a request, and what the other side is believed by. */
export function shownAs({ token, ca, cert, key }: Credentials): {
  readonly headers: Readonly<Record<string, string>>;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string | undefined;
} {
  return {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert, key }),
  };
}
