// One size of table, in a process and namespaces of its own: floor and agent take turns, so that what
// disturbs the machine disturbs both. Writes what it found as JSON.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Census } from '../src/agent/census.ts';
import type { Needs } from '../src/state/desired-state.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { setLinkUp } from '../test/namespaces.ts';
import { batchesOf, Floor } from './floor.ts';
import { InProcess } from './in-process.ts';
import { variants, vips } from './services.ts';
import { noSamples, type Spreads, spreads } from './statistics.ts';

/** What is measured of one size; everything in microseconds but what says Ms. */
export interface SizeResult {
  readonly size: number;
  readonly floor: Pair;
  readonly inProcess: Pair;
  readonly floorLoadMs: number;
  readonly inProcessLoadMs: number;
}

/** Back to back, and after a pause of a millisecond. */
export interface Pair {
  readonly hot: Spreads;
  readonly paced: Spreads;
}

const pauseMs = 1;

export interface Effort {
  readonly rounds: number;
  readonly cycles: number;
}

export async function measure(size: number, { rounds, cycles }: Effort): Promise<SizeResult> {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-bench-'));
  const services = variants(size);
  const table = vips(size);
  const ours = await InProcess.start(folder);
  const inProcessLoadMs = await ours.load(table);
  const { dialect } = ours.agent.firewall;
  const batches = batchesOf(dialect, needsOf(table), table, services);
  using floor = new Floor(batches, folder);
  const floorLoadMs = await floor.loaded();
  const samples = {
    floor: { hot: noSamples(), paced: noSamples() },
    ours: { hot: noSamples(), paced: noSamples() },
  };
  await ours.replay(services, { cycles: 1000, pauseMs: 0 }, noSamples());
  await floor.replay(1000, 0, noSamples());
  for (let round = 0; round < rounds; round++) {
    await floor.replay(cycles, 0, samples.floor.hot);
    await ours.replay(services, { cycles, pauseMs: 0 }, samples.ours.hot);
    await floor.replay(cycles, pauseMs * 1000, samples.floor.paced);
    await ours.replay(services, { cycles, pauseMs }, samples.ours.paced);
  }
  await ours.agent.stop();
  const pair = ({ hot, paced }: typeof samples.floor): Pair => ({ hot: spreads(hot), paced: spreads(paced) });
  return {
    ...{ size, floorLoadMs, inProcessLoadMs },
    ...{ floor: pair(samples.floor), inProcess: pair(samples.ours) },
  };
}

/** What the agent's own census says of the table: the same sizes of sets. */
function needsOf(table: readonly VirtualIp[]): Needs {
  const census = new Census();
  for (const vip of table) census.set(vip.address, vip);
  return census.needs();
}

const [sizeText, roundsText, cyclesText, output] = process.argv.slice(2);
if (output !== undefined) {
  setLinkUp(1);
  const effort = { rounds: Number(roundsText), cycles: Number(cyclesText) };
  writeFileSync(output, JSON.stringify(await measure(Number(sizeText), effort)));
}
