// The agent in this process beside the floor: they alternate, so that a disturbance of the machine affects
// both.

import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batchesOf, Floor } from './floor.ts';
import { InProcess } from './in-process.ts';
import type { Effort, Pair } from './pair.ts';
import { needsOf, variants, vips } from './services.ts';
import { noSamples, type Samples, type Spreads, spreads } from './statistics.ts';

export interface StraightResult {
  /** The first changes of an agent that has just started, before its code is warm. */
  readonly fresh: Spreads;
  readonly floor: Pair;
  readonly inProcess: Pair;
  readonly floorLoadMs: number;
  readonly inProcessLoadMs: number;
}

/** So many of each operation count as the first ones of a process. */
const freshCycles = 100;
/** After so many the optimizing compilers have nearly nothing left to do. */
const warmUpCycles = 10_000;

export async function measureStraight(
  size: number,
  effort: Effort,
  firewall: 'nftables' | 'xtables' = 'nftables',
): Promise<StraightResult> {
  const { rounds, cycles, pauseMs } = effort;
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-bench-'));
  const services = variants(size);
  const table = vips(size);
  const ours = await InProcess.start(folder.path, firewall);
  const inProcessLoadMs = await ours.load(table);
  const { dialect } = ours.agent.firewall;
  using floor = new Floor(batchesOf(dialect, { needs: needsOf(table), table, services }), folder.path);
  const floorLoadMs = await floor.loaded();
  const [floorHot, floorPaced, oursHot, oursPaced] = [noSamples(), noSamples(), noSamples(), noSamples()];
  const fresh = noSamples();
  await ours.replay(services, { cycles: freshCycles, pauseMs: 0 }, fresh);
  await floor.replay(warmUpCycles, 0, noSamples());
  await ours.replay(services, { cycles: warmUpCycles, pauseMs: 0 }, noSamples());
  for (let round = 0; round < rounds; round++) {
    await floor.replay(cycles, 0, floorHot);
    await ours.replay(services, { cycles, pauseMs: 0 }, oursHot);
    await floor.replay(cycles, pauseMs * 1000, floorPaced);
    await ours.replay(services, { cycles, pauseMs }, oursPaced);
  }
  await ours.agent.stop();
  const pair = (hot: Samples, paced: Samples): Pair => ({ hot: spreads(hot), paced: spreads(paced) });
  return {
    fresh: spreads(fresh),
    floor: pair(floorHot, floorPaced),
    inProcess: pair(oursHot, oursPaced),
    floorLoadMs,
    inProcessLoadMs,
  };
}
