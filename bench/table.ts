// The figures as text: one line for each implementation and size, and each aim beside the measured value.

import type { LegacyResult } from './legacy.ts';
import type { PeersResult } from './peers.ts';
import { operations } from './services.ts';
import type { Spreads } from './statistics.ts';
import type { StraightResult } from './straight.ts';
import type { StreamResult } from './stream.ts';

/** The figures of one size, in microseconds except for names with Ms or Mb. */
export interface SizeResult extends StraightResult, LegacyResult, StreamResult, PeersResult {
  readonly size: number;
}

const micros = ' us, p50/p99';

export function tableOf(results: readonly SizeResult[]): string {
  const spreads = [['services', 'way', ...operations.map((name) => name + micros)]];
  const costs = [
    [
      'services',
      'cold load ms',
      'RSS MB started',
      'with TLS',
      'loaded',
      'idle',
      'after updates',
      'at most',
      'first xtables install ms',
    ],
  ];
  for (const result of results) {
    for (const [way, found] of waysOf(result)) spreads.push([String(result.size), way, ...cells(found)]);
    const { started, startedWithTls, loaded, idle, updated, most } = result.memoryMb;
    const memory = [started, startedWithTls, loaded, idle, updated, most];
    const figures = [result.coldLoadMs, ...memory, result.legacy.firstInstallMs];
    costs.push([result.size, ...figures.map((figure) => figure ?? '-')].map(String));
  }
  const leftOut = (results[0]?.leftOut ?? []).map((reason) => `left out: ${reason}\n`).join('');
  return `${align(spreads)}\n\n${align(costs)}\n\n${leftOut}`;
}

/** Each aim at each size, and those of speed for each operation: the measured value beside its limit. */
export function verdictsOf(results: readonly SizeResult[]): string {
  const lines = [['services', 'aim', 'found', 'at most']];
  const put = (size: number, aim: string, found: number, most: number): void => {
    const mark = found <= most ? '' : '  missed';
    lines.push([String(size), aim, found.toFixed(1), most.toFixed(1) + mark]);
  };
  const [first] = results;
  for (const result of results) {
    const { size, floor, inProcess, coldLoadMs, memoryMb } = result;
    for (const rhythm of ['hot', 'paced'] as const) {
      for (const name of operations) {
        const [ours, theirs] = [inProcess[rhythm][name], floor[rhythm][name]];
        put(size, `${rhythm} ${name}: median us`, ours.p50, theirs.p50 + 30);
        put(size, `${rhythm} ${name}: p99 us`, ours.p99, theirs.p99 * 3);
        const least = first?.inProcess[rhythm][name].p50 ?? 0;
        if (size === 50_000)
          put(size, `${rhythm} ${name}: median us as with ${first?.size}`, ours.p50, least * 1.3);
      }
    }
    for (const name of operations) {
      const [ours, theirs] = [result.legacy.inProcess.hot[name].p50, result.legacy.floor.hot[name].p50];
      put(size, `xtables, hot ${name}: median us`, ours, theirs * 3);
    }
    put(size, 'RSS MB just started', memoryMb.started, 65);
    if (size <= 10_000) put(size, 'RSS MB idle after load', memoryMb.idle, size === 10_000 ? 100 : 75);
    if (size === 10_000) put(size, 'cold load ms', coldLoadMs, 250);
  }
  return `\n${align(lines)}\n`;
}

function waysOf(result: SizeResult): [string, Spreads][] {
  const { fresh, floor, inProcess, legacy, overWebSocket, peers, emptyProcess } = result;
  return [
    ['floor, hot', floor.hot],
    ['agent just started, hot', fresh],
    ['agent in process, hot', inProcess.hot],
    ['controller to ack, hot', overWebSocket.hot],
    ['floor, 1 ms apart', floor.paced],
    ['agent in process, 1 ms apart', inProcess.paced],
    ['controller to ack, 1 ms apart', overWebSocket.paced],
    ['floor of ipset, hot', legacy.floor.hot],
    ['agent with xtables, hot', legacy.inProcess.hot],
    ['floor of ipset, 1 ms apart', legacy.floor.paced],
    ['agent with xtables, 1 ms apart', legacy.inProcess.paced],
    ...Object.entries(peers),
    ['an empty process', emptyProcess],
  ];
}

function cells(spreads: Spreads): string[] {
  return operations.map((name) => `${spreads[name].p50} / ${spreads[name].p99}`);
}

export function align(lines: readonly (readonly string[])[]): string {
  const widthOf = (column: number) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const widths = (lines[0] ?? []).map((_, column) => widthOf(column));
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}
