// `npm run bench [-- --quick] [SIZE...]`: each size in a process and in namespaces of its own, so that
// nothing of this machine is read or changed. Prints a table, and writes the figures to bench/results/.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from './compiled-agent.ts';
import { buildFloor } from './floor.ts';
import type { LegacyResult } from './legacy.ts';
import type { Effort } from './pair.ts';
import type { PeersResult } from './peers.ts';
import type { StraightResult } from './straight.ts';
import type { StreamResult } from './stream.ts';
import { type SizeResult, tableOf, verdictsOf } from './table.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const allSizes = [10, 1000, 10_000, 50_000];
const quickSizes = [10, 1000];

// The machine's /run holds the xtables lock; here it is empty and ours to write to.
const prepare = 'mount -t tmpfs tmpfs /run; exec "$@"';

const fullEffort: Effort = { rounds: 15, cycles: 200, pauseMs: 1 };
const quickEffort: Effort = { rounds: 4, cycles: 100, pauseMs: 1 };

process.chdir(root);
const words = process.argv.slice(2);
const quick = words.includes('--quick');
const given = words.filter((word) => /^[1-9]\d*$/.test(word)).map(Number);
const sizes = given.length > 0 ? given : quick ? quickSizes : allSizes;
const unknown = words.filter((word) => word !== '--quick' && !/^[1-9]\d*$/.test(word));
if (unknown.length > 0) {
  process.stderr.write(`bench: expected --quick or sizes of tables, got ${unknown.join(' ')}\n`);
  process.exitCode = 2;
} else bench();

function bench(): void {
  const wrapper = findWrapper();
  if (wrapper === undefined) {
    process.exitCode = 1;
    return;
  }
  buildFloor();
  build();
  const results: SizeResult[] = [];
  for (const size of sizes) {
    process.stderr.write(`bench: ${size} services\n`);
    results.push({
      size,
      ...measureApart<StraightResult>(wrapper, 'straight', size),
      ...measureApart<LegacyResult>(wrapper, 'legacy', size),
      ...measureApart<StreamResult>(wrapper, 'stream', size),
      ...measureApart<PeersResult>(wrapper, 'peers', size),
    });
  }
  const machine = {
    ...{ date: new Date().toISOString().slice(0, 10), kernel: release(), node: process.version },
    ...{ cpus: cpus().length, cpu: cpus()[0]?.model ?? '' },
    quick,
  };
  process.stdout.write(tableOf(results) + verdictsOf(results));
  mkdirSync('bench/results', { recursive: true });
  // A quick run is no result to keep.
  const path = join(quick ? 'build' : 'bench/results', `${machine.date}.json`);
  writeFileSync(path, `${JSON.stringify({ machine, results }, null, 1)}\n`);
  process.stdout.write(`\n${path}\n`);
}

/** The agent is measured as it is shipped: compiled. */
function build(): void {
  const tsc = 'node_modules/typescript/bin/tsc';
  run(process.execPath, [tsc, '-p', 'tsconfig.build.json']);
}

function measureApart<T>(wrapper: readonly string[], part: string, size: number): T {
  const output = join(root, 'build', 'bench-part.json');
  const effort = JSON.stringify(quick ? quickEffort : fullEffort);
  const self = [process.execPath, ...nodeFlags, 'bench/apart.ts', part, String(size), effort, output];
  const [program = '', ...rest] = [...wrapper, 'sh', '-c', prepare, 'sh', ...self];
  run(program, rest);
  return JSON.parse(readFileSync(output, 'utf8')) as T;
}

function findWrapper(): readonly string[] | undefined {
  const forms = process.getuid?.() === 0 ? ['-nm', '-Urnm'] : ['-Urnm'];
  for (const form of forms) {
    if (spawnSync('unshare', [form, 'true']).status === 0) return ['unshare', form];
  }
  process.stderr.write(
    'bench: no namespaces here: run with sudo, or sysctl kernel.apparmor_restrict_unprivileged_userns=0\n',
  );
  return undefined;
}

function run(program: string, argv: readonly string[]): void {
  const { status, error } = spawnSync(program, argv, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw error ?? new Error(`${program} ${argv.join(' ')}: exit code ${status}`);
}
