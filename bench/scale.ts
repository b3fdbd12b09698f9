// `npm run bench:scale [-- --quick | --services N --agents N --rounds N --output FILE]` measures the
// controller with many Services and many agents, and a real API server. It prints a table, and writes
// bench/results/.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { skip } from '../test/kubernetes/control-plane.ts';
import { nodeFlags } from './image.ts';
import { buildProduct, findWrapper, root, run, thisMachine } from './programs.ts';
import type { ScaleResult } from './scale/measure.ts';
import type { ScaleSize } from './scale/size.ts';
import { scaleTable } from './scale/table.ts';

const whole: ScaleSize = { services: 10_000, agents: 1000, rounds: 50 };
const quick: ScaleSize = { services: 1000, agents: 100, rounds: 10 };

process.chdir(root);
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    services: { type: 'string' },
    agents: { type: 'string' },
    rounds: { type: 'string' },
    output: { type: 'string' },
  },
});
if (skip === false) bench();
else process.exitCode = 1;

function bench(): void {
  const wrapper = findWrapper();
  if (wrapper === undefined) {
    process.exitCode = 1;
    return;
  }
  const { services, agents, rounds } = sizeOf();
  buildProduct();
  // Memory is measured with few agents, and everything else with all of them.
  const results = [0, agents].map((count) => measureApart(wrapper, { services, agents: count, rounds }));
  const machine = { ...thisMachine(), size: { services, agents, rounds } };
  process.stdout.write(scaleTable(results));
  const isWhole = values.output === undefined && services === whole.services && agents === whole.agents;
  const path = values.output ?? join(isWhole ? 'bench/results' : 'build', `${machine.date}-scale.json`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ machine, results }, null, 2)}\n`);
  process.stdout.write(`\n${path}\n`);
}

function sizeOf(): ScaleSize {
  const usual = values.quick ? quick : whole;
  const number = (name: keyof ScaleSize): number => {
    const text = values[name];
    if (text === undefined) return usual[name];
    if (/^[1-9]\d*$/.test(text)) return Number(text);
    throw new Error(`--${name}: expected a number of at least 1, got ${text}`);
  };
  return { services: number('services'), agents: number('agents'), rounds: number('rounds') };
}

/** Measures in a process of its own, so that nothing of one measurement is left for the next. */
function measureApart(wrapper: readonly string[], size: ScaleSize): ScaleResult {
  process.stderr.write(`bench: ${size.services} Services, ${size.agents} agents beside a real one\n`);
  const output = join(root, 'build', 'bench-part.json');
  const self = [process.execPath, ...nodeFlags, 'bench/scale/measure.ts', JSON.stringify(size), output];
  const [program = '', ...rest] = [...wrapper, ...self];
  run(program, rest);
  return JSON.parse(readFileSync(output, 'utf8')) as ScaleResult;
}
