// One Service is changed, and all agents acknowledge it; then the bare server sends the same bytes to the
// same number of connections of the same process. They alternate, so that a disturbance of the machine
// affects both.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../src/controller/status/status.ts';
import { getJson } from '../../test/kernel/traffic.ts';
import { median } from '../statistics.ts';
import type { Bare } from './bare.ts';
import type { ScaleCluster } from './cluster.ts';
import type { Generator } from './generator.ts';
import type { Asked } from './questions.ts';

/** Milliseconds, the median of all rounds. */
export interface Side {
  /** From the first to the last ack, as the agents send them and as the server receives them. */
  readonly given: number;
  readonly taken: number;
  /** From the first send to the last ack. */
  readonly whole: number;
}

export interface ChangesResult {
  readonly rounds: number;
  readonly frameBytes: number;
  readonly controller: Side;
  readonly bare: Side;
}

interface Samples {
  readonly given: number[];
  readonly taken: number[];
  readonly whole: number[];
}

export interface ChangesInput {
  readonly scale: ScaleCluster;
  readonly generator: Asked<Generator>;
  readonly bare: Asked<Bare>;
  readonly controllerUrl: string;
  readonly rounds: number;
}

/** Long enough for the effects of a round to be over. */
const pauseMs = 150;
const firstPort = 1000;

export async function measureChanges(input: ChangesInput): Promise<ChangesResult> {
  const { generator, bare, rounds } = input;
  await generator.ask('startBare', await bare.ask('listen'));
  const [ours, theirs]: [Samples, Samples] = [
    { given: [], taken: [], whole: [] },
    { given: [], taken: [], whole: [] },
  ];
  let frame = '';
  for (let round = 0; round < rounds; round++) {
    frame = await changeOne(input, round, ours);
    await sleep(pauseMs);
    await sendBare(input, frame, theirs);
    await sleep(pauseMs);
  }
  return { rounds, frameBytes: frame.length, controller: sideOf(ours), bare: sideOf(theirs) };
}

async function changeOne(input: ChangesInput, round: number, samples: Samples): Promise<string> {
  const { scale, generator } = input;
  const acked = generator.ask('nextDelta');
  await scale.setPort(round, firstPort + round);
  const { firstMs, lastMs, frame } = await acked;
  await sleep(pauseMs);
  const taken = await lagsOf(input);
  samples.given.push(lastMs - firstMs);
  samples.taken.push(Math.max(...taken) - Math.min(...taken));
  samples.whole.push(Math.max(...taken));
  return frame;
}

/** Milliseconds from the publication of the last change to each ack of a generated agent. */
async function lagsOf({ scale, controllerUrl }: ChangesInput): Promise<number[]> {
  const { nodes } = (await getJson(scale.node, `${controllerUrl}/api/v1/status`)) as Status;
  return nodes.filter(({ name }) => name !== 'real').map(({ lagMs }) => lagMs ?? Number.NaN);
}

async function sendBare({ generator, bare }: ChangesInput, frame: string, samples: Samples): Promise<void> {
  const given = generator.ask('nextBare');
  const taken = await bare.ask('send', frame);
  const { firstMs, lastMs } = await given;
  samples.given.push(lastMs - firstMs);
  samples.taken.push(taken.lastMs - taken.firstMs);
  samples.whole.push(taken.lastMs - taken.beganMs);
}

function sideOf({ given, taken, whole }: Samples): Side {
  return { given: median(given), taken: median(taken), whole: median(whole) };
}
