// The system calls of a program that runs, as strace sees them, and which of them change legacy tables.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { end, spawnIn } from '../namespaces.ts';
import type { Node } from './node.ts';

/** strace with its lines in a file, of all threads. */
export function tracing(file: string, words: readonly string[]): readonly ['strace', ...string[]] {
  return ['strace', '-f', '-q', '-o', file, ...words];
}

/** The calls that change tables and sets, and some that only read. */
export const writing: readonly string[] = ['-e', 'trace=sendto,setsockopt,getsockopt'];

/** How many of those in a trace change something; a send of many messages is one. */
export function writesIn(trace: string): number {
  const change = /\bIP6?T_SO_SET_REPLACE\b|\bIPSET_CMD_(CREATE|DESTROY|FLUSH|RENAME|SWAP|ADD|DEL)\b/;
  return trace.split('\n').filter((line) => change.test(line)).length;
}

/** What a trace changes in turn: rules and sets, and addresses of either family. */
export function orderOf(trace: string): string[] {
  const changes = trace.split('\n').flatMap((line) => {
    const [address] = /\bRTM_(NEW|DEL)ADDR\b/.exec(line) ?? [];
    return address ?? (writesIn(line) > 0 || /\bNFT_MSG_(NEW|DEL)/.test(line) ? 'filter' : []);
  });
  return changes.filter((change, index) => change !== changes[index - 1]);
}

/** How often a legacy table is read in a trace. */
export function readsIn(trace: string): number {
  return trace.match(/\bIP6?T_SO_GET_ENTRIES\b/g)?.length ?? 0;
}

export interface Tracer extends AsyncDisposable {
  /** The trace so far. */
  text(): string;
}

/** Traces a running program from now on; the words select the calls and what strace does to them. */
export async function attach(node: Node, pid: number, words: readonly string[]): Promise<Tracer> {
  const path = join(node.folder, `${pid}.strace`);
  const strace = spawnIn(node.node, [...tracing(path, words), '-p', `${pid}`]);
  let said = '';
  strace.stderr?.on('data', (part: Buffer) => {
    said += `${part}`;
  });
  const tracer = {
    text: () => readFileSync(path, 'utf8'),
    [Symbol.asyncDispose]: () => end(strace),
  };
  await using stack = new AsyncDisposableStack();
  stack.use(tracer);
  await node.until('strace is attached', () => {
    assert.equal(strace.exitCode, null, said);
    return /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  });
  stack.move();
  return tracer;
}
