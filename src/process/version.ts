// The version of this program, from package.json beside `src` or `dist`.

import { readFileSync } from 'node:fs';
import { home } from './home.ts';

/** Reads the version; called once by each composition root. */
export function readVersion(): string {
  const text = readFileSync(new URL('package.json', home), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
