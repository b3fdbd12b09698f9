// The file of the last committed state: its name, its layout, and how a starting agent reads it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPlacement, readVirtualIp } from '../../protocol/resources.ts';
import { fields, whole } from '../../protocol/shape.ts';
import type { Address } from '../../state/address.ts';
import { SteadyMap } from '../../state/steady-map.ts';
import type { Placement, VirtualIp } from '../../state/virtual-ip.ts';

export const journalFile = 'agent.jsonl';
/** The layout of the file; a file of another layout is not read. */
export const layout = 1;

export interface SavedState {
  cluster: string | null;
  generation: number;
  readonly rules: Map<Address, VirtualIp>;
  readonly placements: Map<Address, Placement>;
}

export interface SavedJournal {
  readonly state: SavedState;
  /** Why the file could not be read to its end; null if it could. */
  readonly problem: string | null;
}

/** Reads the file. If a line is bad, the state is that of the lines before it. */
export function readJournal(directory: string): SavedJournal {
  const state: SavedState = { cluster: null, generation: 0, rules: new SteadyMap(), placements: new Map() };
  let lines: string[];
  try {
    lines = readFileSync(join(directory, journalFile), 'utf8').split('\n');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { state, problem: missing ? null : `${journalFile}: ${(error as Error).message}` };
  }
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    try {
      replay(state, JSON.parse(line), index === 0);
    } catch (error) {
      return { state, problem: `${journalFile}:${index + 1}: ${(error as Error).message}` };
    }
  }
  return { state, problem: null };
}

function replay(state: SavedState, value: unknown, first: boolean): void {
  const line = fields(value, 'line');
  if (first && line['layout'] !== layout)
    throw new Error(`layout ${String(line['layout'])} is not ${layout}`);
  if ('cluster' in line) {
    state.cluster = typeof line['cluster'] === 'string' ? line['cluster'] : null;
    state.generation = whole(line['generation'], 'generation');
  } else if ('rule' in line) {
    const vip = readVirtualIp(line['rule'], 'rule');
    state.rules.set(vip.address, vip);
  } else if ('placement' in line) {
    const placement = readPlacement(line['placement'], 'placement');
    state.placements.set(placement.address, placement);
  } else if (typeof line['noRule'] === 'string') {
    state.rules.delete(line['noRule'] as Address);
  } else if (typeof line['noPlacement'] === 'string') {
    state.placements.delete(line['noPlacement'] as Address);
  }
}
