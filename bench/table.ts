// The figures as text: one line for each way and size, the median and the 99th percentile of each operation.

import { operations } from './services.ts';
import type { SizeResult } from './size.ts';
import type { Spreads } from './statistics.ts';

const micros = ' us, p50/p99';

export function tableOf(results: readonly SizeResult[]): string {
  const lines = [['services', 'way', ...operations.map((name) => name + micros)]];
  for (const result of results) {
    for (const [way, spreads] of waysOf(result)) lines.push([String(result.size), way, ...cells(spreads)]);
  }
  return `${align(lines)}\n`;
}

function waysOf({ floor, inProcess }: SizeResult): [string, Spreads][] {
  return [
    ['floor, hot', floor.hot],
    ['agent in process, hot', inProcess.hot],
    ['floor, 1 ms apart', floor.paced],
    ['agent in process, 1 ms apart', inProcess.paced],
  ];
}

function cells(spreads: Spreads): string[] {
  return operations.map((name) => `${spreads[name].p50} / ${spreads[name].p99}`);
}

function align(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}
