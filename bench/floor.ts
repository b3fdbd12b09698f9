// Builds the program of the floor and its file of batches, the same bytes that the agent sends, and runs it.

import { type ChildProcess, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { diff } from '../src/dialects/delta.ts';
import type { Dialect, KernelObject, KernelObjects } from '../src/dialects/dialect.ts';
import type { Step } from '../src/netlink/ack.ts';
import type { Needs } from '../src/state/desired-state.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { Namespace, spawnIn } from '../test/namespaces.ts';
import { operations, type Variant } from './services.ts';
import type { Samples } from './statistics.ts';

const source = fileURLToPath(new URL('floor.c', import.meta.url));
const program = fileURLToPath(new URL('../build/bench-floor', import.meta.url));

/** Compiles the program; throws the output of the compiler if it fails. */
export function buildFloor(): void {
  execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
}

export interface Batches {
  readonly load: readonly Step<KernelObject>[];
  /** Add, change and remove of each variant. */
  readonly cycles: readonly Step<KernelObject>[];
}

const nothing: KernelObjects<KernelObject> = { constants: [], elements: [], needs: null };

export interface BatchesInput {
  readonly needs: Needs;
  readonly table: readonly VirtualIp[];
  readonly services: readonly Variant[];
}

export function batchesOf(dialect: Dialect<KernelObject>, { needs, table, services }: BatchesInput): Batches {
  const render = (vips: readonly VirtualIp[]) => dialect.render({ needs, vips, held: [] });
  const between = (before: readonly VirtualIp[], after: readonly VirtualIp[]) => [
    joined(dialect.encode(diff(render(before), render(after))).steps),
  ];
  const load = dialect.encode(diff(nothing, render(table))).steps;
  const cycles = services.flatMap(({ added, changed }) => [
    ...between([], [added]),
    ...between([added], [changed]),
    ...between([changed], []),
  ]);
  return { load, cycles };
}

/** A change in one send. The agent may wait for an answer in between; the floor need not. */
function joined(steps: readonly Step<KernelObject>[]): Step<KernelObject> {
  const [first] = steps;
  if (first === undefined) throw new Error('an empty change');
  if (steps.length === 1 && first.halved !== true) return first;
  const bytes = Buffer.concat(steps.map((step) => step.bytes));
  return { ...first, bytes, split: bytes.length };
}

/** The process of the floor in a namespace of its own, with a table of its own. */
export class Floor implements Disposable {
  readonly #namespace = Namespace.make();
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor({ load, cycles }: Batches, folder: string) {
    const path = join(folder, 'batches');
    const count = cycles.length / operations.length;
    writeFileSync(path, Buffer.concat([u32(load.length), ...bytesOf(load), u32(count), ...bytesOf(cycles)]));
    this.#child = spawnIn(this.#namespace, [program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('the floor has no standard output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Milliseconds that loading the table took. */
  async loaded(): Promise<number> {
    return Number(await this.#line()) / 1e6;
  }

  /** Replays cycles with a pause before each step; microseconds go to `samples`. */
  async replay(cycles: number, pauseMicros: number, samples: Samples): Promise<void> {
    this.#child.stdin?.write(`${cycles} ${pauseMicros}\n`);
    const nanos = (await this.#line()).trim().split(' ');
    for (const [index, text] of nanos.entries()) {
      const operation = operations[index % operations.length];
      if (operation !== undefined) samples[operation].push(Number(text) / 1000);
    }
  }

  [Symbol.dispose](): void {
    this.#child.stdin?.end();
    this.#namespace[Symbol.dispose]();
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the floor has ended for the reason above');
    return value;
  }
}

function bytesOf(steps: readonly Step<KernelObject>[]): Uint8Array[] {
  return steps.flatMap(({ bytes, split }) => [u32(split), u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
