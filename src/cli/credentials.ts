// Reads the files of a verb's credentials: the token of the operator and the CA of the server. Each error
// message starts with the flag or variable that names the file.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UsageError } from '../process/usage.ts';

/** A file, and the flag or variable that names it. */
export interface NamedFile {
  readonly path: string;
  readonly where: string;
}

/** The token from a file with one word, or from its line `operator TOKEN`. Throws UsageError. */
export function readToken({ path, where }: NamedFile): string {
  const lines = readFile({ path, where })
    .toString('utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([first]) => first !== undefined && first !== '' && !first.startsWith('#'));
  const operator = lines.find((words) => words.length === 2 && words[0] === 'operator')?.[1];
  const token = operator ?? (lines.length === 1 && lines[0]?.length === 1 ? lines[0][0] : undefined);
  if (token === undefined) {
    throw new UsageError(`${where} ${path}: expected one token, or a line \`operator TOKEN\``);
  }
  return token;
}

/** The CA of a server, PEM. Throws UsageError for a file without one: TLS would trust no server. */
export function readCa({ path, where }: NamedFile): Buffer {
  const ca = readFile({ path, where });
  try {
    new X509Certificate(ca);
  } catch (error) {
    throw new UsageError(`${where} ${path}: expected a PEM certificate, found none`, { cause: error });
  }
  return ca;
}

function readFile({ path, where }: NamedFile): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${where} ${path}: ${(error as Error).message}`, { cause: error });
  }
}
