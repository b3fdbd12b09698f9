// From the controller over a loopback WebSocket into the kernel and back, with a compiled agent; and its cold
// load and its memory when it starts, loads and idles.

import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeAuthority, makeServerPair } from '../src/controller/certificate.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';
import { Namespace } from '../test/namespaces.ts';
import { CompiledAgent } from './compiled-agent.ts';
import { BenchController } from './controller.ts';
import type { Effort, Pair } from './pair.ts';
import { variants, vips } from './services.ts';
import { median, noSamples, type Samples, spreads } from './statistics.ts';

export interface StreamResult {
  readonly overWebSocket: Pair;
  /** The median of several new agents, each from the first frame of the table to its ack. */
  readonly coldLoadMs: number;
  readonly memoryMb: MemoryMb;
}

/**
 * Resident memory of the agent: serving while its controller lets nobody in yet, the same with TLS, with its
 * table, ten seconds later, after updates, and its peak.
 */
export interface MemoryMb {
  readonly started: number;
  readonly startedWithTls: number;
  readonly loaded: number;
  readonly idle: number;
  readonly updated: number;
  readonly most: number;
}

const startedForMs = 2000;
const idleForMs = 10_000;
const coldLoads = 5;

export async function measureStream(size: number, effort: Effort): Promise<StreamResult> {
  const table = vips(size);
  const loads: number[] = [];
  for (let load = 1; load < coldLoads; load++) {
    await withAgent(table, async ({ controller }) => {
      loads.push(await controller.load());
    });
  }
  const startedWithTls = await measureTls();
  return await withAgent(table, async ({ controller, agent }) => {
    await pause(startedForMs);
    const started = agent.memoryMb('VmRSS');
    loads.push(await controller.load());
    const loaded = agent.memoryMb('VmRSS');
    await pause(idleForMs);
    const idle = agent.memoryMb('VmRSS');
    const overWebSocket = await update(controller, size, effort);
    const memoryMb = {
      started,
      startedWithTls,
      loaded,
      idle,
      updated: agent.memoryMb('VmRSS'),
      most: agent.memoryMb('VmHWM'),
    };
    return { overWebSocket, coldLoadMs: median(loads), memoryMb };
  });
}

interface Pieces {
  readonly controller: BenchController;
  readonly agent: CompiledAgent;
}

async function withAgent<T>(table: readonly VirtualIp[], body: (pieces: Pieces) => Promise<T>): Promise<T> {
  using namespace = Namespace.make();
  using controller = new BenchController(table);
  const url = await namespace.stay(() => controller.listen());
  using state = mkdtempDisposableSync(join(tmpdir(), 'vipward-bench-'));
  await using agent = await CompiledAgent.start(namespace, url, { state: state.path });
  return await body({ controller, agent });
}

async function measureTls(): Promise<number> {
  const age = { fromMs: Date.now(), days: 1 };
  const authority = makeAuthority({ subject: 'bench', ...age });
  const pair = makeServerPair(authority, ['localhost'], { subject: 'localhost', ...age });
  using namespace = Namespace.make();
  using controller = new BenchController([], pair);
  const url = await namespace.stay(() => controller.listen());
  using state = mkdtempDisposableSync(join(tmpdir(), 'vipward-bench-'));
  const caFile = join(state.path, 'ca.crt');
  writeFileSync(caFile, authority.cert);
  await using agent = await CompiledAgent.start(namespace, url, {
    state: state.path,
    more: ['--ca-file', caFile],
  });
  await pause(startedForMs);
  const started = agent.memoryMb('VmRSS');
  // Only an agent that trusts the certificate is served.
  await controller.load();
  return started;
}

async function update(controller: BenchController, size: number, effort: Effort): Promise<Pair> {
  const services = variants(size);
  let next = 0;
  const replay = async (cycles: number, pauseMs: number, samples: Samples): Promise<void> => {
    for (let cycle = 0; cycle < cycles; cycle++) {
      const variant = services[next++ % services.length];
      if (variant === undefined) throw new Error('no Services to add');
      if (pauseMs > 0) await pause(pauseMs);
      samples.add.push(await controller.time(variant.added, 'set'));
      if (pauseMs > 0) await pause(pauseMs);
      samples.change.push(await controller.time(variant.changed, 'set'));
      if (pauseMs > 0) await pause(pauseMs);
      samples.remove.push(await controller.time(variant.changed, 'remove'));
    }
  };
  const [hot, paced] = [noSamples(), noSamples()];
  await replay(1000, 0, noSamples());
  for (let round = 0; round < effort.rounds; round++) {
    await replay(effort.cycles, 0, hot);
    await replay(effort.cycles, effort.pauseMs, paced);
  }
  return { hot: spreads(hot), paced: spreads(paced) };
}
