// The program that tests start as a process.

import { fileURLToPath } from 'node:url';

/** Our sources, or what `VIPWARD_TEST_PROGRAM` says was bundled of them. */
export const program: string =
  process.env['VIPWARD_TEST_PROGRAM'] ?? fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
