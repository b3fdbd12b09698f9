// The agent's token, certificate and CA: files, read at each attempt, so that a change needs no restart.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AgentValues } from '../config.ts';

/** The contents of the files; undefined for a file that is not configured. */
export interface Credentials {
  readonly token: string | undefined;
  /** `ca`, `cert` and `key` are PEM. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

type Files = Pick<AgentValues, 'tokenFile' | 'caFile' | 'cert' | 'key'>;

/** The token file holds no token, or the CA file no certificate. */
export class CredentialError extends Error {
  readonly code: 'BadToken' | 'BadCa';

  constructor(code: CredentialError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Rejects with the error of the first file that cannot be read, or with CredentialError. */
export async function readCredentials(files: Files): Promise<Credentials> {
  const [token, ca, cert, key] = await Promise.all(
    [files.tokenFile, files.caFile, files.cert, files.key].map((path) => {
      return path === undefined ? undefined : readFile(path, 'utf8');
    }),
  );
  if (ca !== undefined) checkCa(ca, files.caFile);
  return { token: token === undefined ? undefined : tokenOf(token, files.tokenFile), ca, cert, key };
}

/** With an empty CA, TLS would trust every public one. */
function checkCa(text: string, path: string | undefined): void {
  try {
    new X509Certificate(text);
  } catch {
    throw new CredentialError('BadCa', `--ca-file ${path}: expected a PEM certificate, found none`);
  }
}

/** Rejects what no HTTP header can carry: the failed request would be blamed on the controller. */
function tokenOf(text: string, path: string | undefined): string {
  const token = text.trim();
  if (/^[!-~]+$/.test(token)) return token;
  const words = token === '' ? 0 : token.split(/\s+/).length;
  const found = words === 1 ? 'one with characters that are not ASCII' : `${words} words`;
  throw new CredentialError('BadToken', `--token-file ${path}: expected one token, got ${found}`);
}

/** The headers and TLS options of a request. */
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
