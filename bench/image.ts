// How the image starts a program, by its Dockerfile: the benchmark starts programs in the same way.

import { readFileSync } from 'node:fs';

const dockerfile = readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8');
const [, entrypoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];

/** The flags of Node, between it and the program. */
export const nodeFlags: readonly string[] = (JSON.parse(entrypoint) as string[]).slice(1, -1);

export const environment: Readonly<Record<string, string>> = Object.fromEntries(
  [...dockerfile.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]),
);

if (nodeFlags.length === 0) throw new Error('Dockerfile: its ENTRYPOINT gives Node no flags');
