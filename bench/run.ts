// `npm run bench [-- --quick] [SIZE...]` measures each size in a process and in namespaces of its own, so
// that it neither reads nor changes the network of this machine. It prints a table, and writes the figures to
// bench/results/.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFloor } from './floor.ts';
import { nodeFlags } from './image.ts';
import type { LegacyResult } from './legacy.ts';
import type { Effort } from './pair.ts';
import type { PeersResult } from './peers.ts';
import { buildProduct, findWrapper, root, run, thisMachine } from './programs.ts';
import type { StraightResult } from './straight.ts';
import type { StreamResult } from './stream.ts';
import { type SizeResult, tableOf, verdictsOf } from './table.ts';

const allSizes = [10, 1000, 10_000, 50_000];
const quickSizes = [10, 1000];

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
  buildProduct();
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
  const machine = { ...thisMachine(), quick };
  process.stdout.write(tableOf(results) + verdictsOf(results));
  mkdirSync('bench/results', { recursive: true });
  // The result of a quick run is not kept.
  const path = join(quick ? 'build' : 'bench/results', `${machine.date}.json`);
  writeFileSync(path, `${JSON.stringify({ machine, results }, null, 2)}\n`);
  process.stdout.write(`\n${path}\n`);
}

function measureApart<T>(wrapper: readonly string[], part: string, size: number): T {
  const output = join(root, 'build', 'bench-part.json');
  const effort = JSON.stringify(quick ? quickEffort : fullEffort);
  const self = [process.execPath, ...nodeFlags, 'bench/apart.ts', part, String(size), effort, output];
  const [program = '', ...rest] = [...wrapper, ...self];
  run(program, rest);
  return JSON.parse(readFileSync(output, 'utf8')) as T;
}
