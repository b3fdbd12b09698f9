// One measurement at scale, in a process and namespaces of its own: a cluster, its Services, a real agent and
// generated ones. Its arguments are SIZE, which is JSON, and OUTPUT.

import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { getText } from '../../test/kernel/traffic.ts';
import type { Program } from '../../test/kubernetes/processes.ts';
import { runIn, setLinkUp } from '../../test/namespaces.ts';
import { memoryMb } from '../memory.ts';
import {
  firstListMs,
  type LeaseResult,
  leaseIn,
  sinceLastWriteMs,
  type WritesResult,
  writesIn,
} from './audit.ts';
import type { Bare } from './bare.ts';
import { type ChangesResult, measureChanges } from './changes.ts';
import { range, ScaleCluster } from './cluster.ts';
import type { Generator } from './generator.ts';
import { type LagResult, lagBetween, lagCounts, type OwnLag, ownLag } from './lag.ts';
import { Asked } from './questions.ts';
import type { ScaleSize } from './size.ts';

export interface ScaleResult extends ScaleSize {
  /** Services per second that the API server took. */
  readonly servicesMadeRate: number;
  /** From the start of the controller to its first list. */
  readonly toListMs: number;
  /** From its first list until every list was read, and until every agent had committed everything. */
  readonly toSyncedMs: number;
  readonly toCommittedMs: number;
  /** Elements of the set of allowed ports, and addresses, in the kernel of the node with the real agent. */
  readonly kernel: { readonly ports: number; readonly addresses: number };
  /** Resident memory of the controller once everything was written, and its peak. */
  readonly memoryMb: { readonly written: number; readonly most: number };
  readonly lag: { readonly load: LagResult; readonly changes: LagResult | null };
  /** The same without the time that the controller waited for a processor. */
  readonly own: { readonly load: OwnLag; readonly changes: OwnLag | null };
  /** Seconds until everything was written, and how many of them the controller waited for a processor. */
  readonly loadSeconds: { readonly all: number; readonly waited: number };
  readonly writes: WritesResult;
  readonly lease: LeaseResult;
  readonly changes: ChangesResult | null;
  /** Why streams of generated agents ended. */
  readonly closed: readonly string[];
}

const controllerUrl = 'http://127.0.0.1:9470';
const agentUrl = 'http://127.0.0.1:9471';
const pollMs = 200;
/** Everything is written once there was no write for this long. */
const quietMs = 10_000;
const deadlineMs = 15 * 60_000;

async function measure(size: ScaleSize): Promise<ScaleResult> {
  const { services, agents, rounds } = size;
  await using scale = await ScaleCluster.start();
  const servicesMadeRate = await scale.makeServices(services);
  using generator = new Asked<Generator>(scale.node, 'generator.ts');
  using bare = new Asked<Bare>(scale.node, 'bare.ts');
  const url = controllerUrl.replace('http', 'ws');
  await generator.ask('start', { url, count: agents, range });
  await using agent = scale.startAgent(url);
  const startedMs = Date.now();
  await using controller = await scale.startController();
  const programs = { scale, generator, agent, controller };
  await until('everything is committed', programs, () => isCommitted(programs, size));
  const committedMs = Date.now();
  const listedMs = firstListMs(scale.cluster);
  const syncedMs = eventMs(scale.logOf('controller'), 'synced');
  // Before it listens the controller reads its own code, and no client can find it late.
  const listeningMs = eventMs(scale.logOf('controller'), 'listening');
  await until('everything is written', programs, () => (sinceLastWriteMs(scale.cluster) ?? 0) > quietMs);
  const loadedMs = Date.now();
  const loadSeconds = { all: (loadedMs - startedMs) / 1000, waited: waitedSeconds(controller.pid) };
  const written = memoryMb(controller.pid, 'VmRSS');
  const scrape = async () => lagCounts(await getText(scale.node, `${controllerUrl}/metrics`));
  const loaded = await scrape();
  const input = { scale, generator, bare, controllerUrl, rounds };
  const changes = agents === 0 ? null : await measureChanges(input);
  return {
    services,
    agents,
    rounds,
    servicesMadeRate,
    toListMs: listedMs - startedMs,
    toSyncedMs: syncedMs - listedMs,
    toCommittedMs: committedMs - listedMs,
    kernel: kernelOf(scale),
    loadSeconds,
    memoryMb: { written, most: memoryMb(controller.pid, 'VmHWM') },
    lag: {
      load: lagBetween(new Map(), loaded),
      changes: changes === null ? null : lagBetween(loaded, await scrape()),
    },
    own: {
      load: ownLag(scale.lateLooks, listeningMs, loadedMs),
      changes: changes === null ? null : ownLag(scale.lateLooks, loadedMs, Date.now()),
    },
    writes: writesIn(scale.cluster),
    lease: await leaseIn(scale.cluster),
    changes,
    closed: (await generator.ask('state')).closed,
  };
}

interface Programs {
  readonly scale: ScaleCluster;
  readonly generator: Asked<Generator>;
  readonly agent: Program;
  readonly controller: Program;
}

/** The real kernel and every generated agent have all rules, and each VIP is held by one agent. */
async function isCommitted(
  { scale, generator }: Programs,
  { services, agents }: ScaleSize,
): Promise<boolean> {
  const { vips, level, held } = await generator.ask('state');
  if (agents > 0 && (vips !== services || level !== agents)) return false;
  const metrics = await getText(scale.node, `${agentUrl}/metrics`);
  const states = [...metrics.matchAll(/^vipward_vips\{state="(\w+)",.*\} (\d+)$/gm)];
  const sum = (wanted?: string): number =>
    states
      .filter(([, state]) => wanted === undefined || state === wanted)
      .reduce((total, [, , count]) => total + Number(count), 0);
  const isInSync = /^vipward_agent_in_sync 1$/m.test(metrics);
  return isInSync && sum() === services && sum('serving') + held === services;
}

function kernelOf({ node }: ScaleCluster): ScaleResult['kernel'] {
  const set = runIn(node, ['nft', 'list', 'set', 'inet', 'vipward', 'allow4']).stdout;
  const addresses = runIn(node, ['ip', '-4', '-br', 'address', 'show', 'dev', 'lan']).stdout;
  const count = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;
  return { ports: count(set, / \. tcp \. /g), addresses: count(addresses, /\/32\b/g) };
}

/** How long the main thread was ready to run while others ran: it did not cause that lateness. */
function waitedSeconds(pid: number): number {
  const [, waitedNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Math.round(Number(waitedNs) / 1e8) / 10;
}

/** The time of the first line of the log with an event. */
function eventMs(log: string, event: string): number {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
  const line = lines.find((one) => one.includes(`"event":"${event}"`));
  return line === undefined ? Number.NaN : Date.parse((JSON.parse(line) as { time: string }).time);
}

async function until(
  what: string,
  { agent, controller }: Programs,
  holds: () => Promise<boolean> | boolean,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  let failure = '';
  for (;;) {
    try {
      if (await holds()) return;
    } catch (error) {
      failure = String(error);
    }
    const isOver = performance.now() > endMs || !controller.isRunning || !agent.isRunning;
    if (isOver) throw new Error(`waited for: ${what}\n${failure}\n${controller.words}\n${agent.words}`);
    await sleep(pollMs);
  }
}

const [size = '', output = ''] = process.argv.slice(2);
setLinkUp(1);
writeFileSync(output, JSON.stringify(await measure(JSON.parse(size) as ScaleSize)));
process.exit();
