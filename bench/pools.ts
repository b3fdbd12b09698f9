// How long a controller of many Services blocks the event loop while its pools change, in CPU time:
// `sh native/run.sh bench/pools.ts [SERVICES]`. It needs no kernel.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { parsePools } from '../src/controller/allocation/pools.ts';
import { Controller } from '../src/controller/controller.ts';
import { massRemovalWaitMs } from '../src/controller/readings/mass-removal.ts';
import { Readings } from '../src/controller/readings/readings.ts';
import { noRecords } from '../src/controller/records/records.ts';
import type { ServiceManifest } from '../src/controller/service.ts';
import { readDocument } from '../src/controller/sources/manifest.ts';

const count = Number(process.argv[2] ?? 50_000);
/** A change has ended after so many turns in which next to nothing was done. */
const quietTurns = 300;
const quietMs = 1.5;

const quiet = (): void => undefined;
const controller = new Controller({
  records: { ...noRecords, cluster: 'bench', generation: 1 },
  pools: parsePools(['p=10.64.0.0/14']),
  filterByDefault: true,
  onChange: quiet,
  nowMs: () => performance.now(),
});
const services = Array.from({ length: count }, (_, index) => serviceOf(index));
const readings = new Readings({
  controller,
  truth: { services: new Map(services.map((service) => [service.key, service])), invalid: new Map() },
  massRemoval: 'now',
  massRemovalWaitMs,
  mayBelieve: () => true,
  readAgain: async () => undefined,
  onPublished: quiet,
  onMassRemoval: quiet,
  nowMs: () => performance.now(),
});

await measure('the first reading', () => readings.follow({ set: services, remove: [] }, true));
await measure('one more pool', () => usePools('p=10.64.0.0/14', 'q=10.0.0.0/16'));
await measure('one pool less', () => usePools('p=10.64.0.0/14'));
readings.mode = 'wait';
await measure('a new pool, which waits', () => usePools('p=10.128.0.0/14'));
readings.mode = 'now';
await measure('a new pool', () => usePools('p=10.128.0.0/14'));

function usePools(...items: readonly string[]): void {
  void readings.usePools(parsePools(items));
}

function serviceOf(index: number): ServiceManifest {
  const created = new Date(1e12 + index * 1000).toISOString();
  const [service] = readDocument({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `s${index}`, namespace: 'bench', creationTimestamp: created },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }] },
  }).services;
  if (service === undefined) throw new TypeError(`no Service ${index}`);
  return service;
}

/** Begins a change, and measures the turns of the event loop until it is quiet again. */
async function measure(what: string, begin: () => void): Promise<void> {
  const startedMs = cpuMs();
  let [lastMs, longestMs, quietFor] = [startedMs, 0, 0];
  begin();
  while (quietFor < quietTurns) {
    const tookMs = cpuMs() - lastMs;
    lastMs += tookMs;
    longestMs = Math.max(longestMs, tookMs);
    quietFor = tookMs < quietMs ? quietFor + 1 : 0;
    await nextTurn();
  }
  const figures = `longest turn ${longestMs.toFixed(0)} ms, all ${(lastMs - startedMs).toFixed(0)} ms`;
  process.stdout.write(`${what.padEnd(28)}${figures}\n`);
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
