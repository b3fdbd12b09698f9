// The metrics of a controller, computed from its state at each scrape; the first scrape loads prom-client.

import { droppedLinesText, type LogDestination } from '../process/log.ts';
import { RefusalCode } from '../protocol/messages.ts';
import { familyOf } from '../state/address.ts';
import { type Pool, poolOf, poolSizes } from './allocation/pools.ts';
import type { Controller } from './controller.ts';
import type { LoopLag } from './loop-lag.ts';
import { RefusalReason } from './service.ts';
import type { StatusInput } from './status/status.ts';
import { VipState, vipState } from './status/vip-state.ts';
import { inTurns } from './turns.ts';

export interface MetricsInput {
  readonly controller: Controller;
  readonly pools: () => readonly Pool[];
  readonly statusInput: () => Pick<StatusInput, 'invalid'>;
  readonly version: string;
  readonly logDestination: Pick<LogDestination, 'dropped'>;
  readonly connections: () => number;
  readonly droppedEvents: () => number;
  readonly isRuling: () => boolean;
  readonly loopLag: LoopLag;
}

export interface Scrape {
  readonly text: string;
  readonly contentType: string;
}

/**
 * One scrape, with a registry of its own: nothing is kept between scrapes, and nothing costs before the
 * first.
 */
export async function scrape(input: MetricsInput): Promise<Scrape> {
  const { default: prom } = await import('prom-client');
  const registry = new prom.Registry();
  const gauge = (name: string, help: string, ...labelNames: string[]) => {
    return new prom.Gauge({ name, help, labelNames, registers: [registry] });
  };
  const { controller } = input;
  const vips = gauge('vipward_vips', 'VIPs by state', 'state', 'filtered', 'ip_family');
  for (const state of Object.values(VipState)) {
    for (const filtered of ['true', 'false'])
      for (const ipFamily of ['IPv4', 'IPv6']) vips.set({ state, filtered, ip_family: ipFamily }, 0);
  }
  const counts = new Map<string, number>();
  await allOf(countVips(controller, counts));
  for (const [words, count] of counts) {
    const [state = '', filtered = '', ipFamily = ''] = words.split(' ');
    vips.set({ state, filtered, ip_family: ipFamily }, count);
  }
  const nodes = gauge('vipward_nodes', 'Nodes by connection', 'connected');
  const all = [...controller.nodes.all()];
  nodes.set({ connected: 'true' }, all.filter((node) => node.isConnected).length);
  nodes.set({ connected: 'false' }, all.filter((node) => !node.isConnected).length);
  const refusals = gauge('vipward_refusals', 'Services and ports that are refused now', 'reason');
  for (const reason of [...Object.values(RefusalReason), ...Object.values(RefusalCode)])
    refusals.set({ reason }, 0);
  for (const { reason } of controller.allocator.refusals.values()) refusals.inc({ reason });
  refusals.inc({ reason: RefusalReason.NotSupported }, input.statusInput().invalid.size);
  for (const list of controller.refusedPorts.values())
    for (const { reason } of list) refusals.inc({ reason });
  for (const node of all)
    for (const refusal of node.refusals.values())
      if (!controller.owners.isElsewhere(node, refusal)) refusals.inc({ reason: refusal.code });
  const addresses = gauge('vipward_pool_addresses', 'Addresses of the pools', 'pool', 'state', 'ip_family');
  const pools = input.pools();
  const taken = new Map<string, number>();
  await allOf(countTaken(controller, pools, taken));
  for (const pool of pools) {
    for (const [family, size] of poolSizes(pool)) {
      const used = taken.get(`${pool.name} ${family}`) ?? 0;
      const labels = { pool: pool.name, ip_family: `IPv${family}` };
      addresses.set({ ...labels, state: 'used' }, used);
      addresses.set({ ...labels, state: 'free' }, Math.max(0, size - used));
    }
  }
  gauge('vipward_ruling', '1 while this controller leads').set(input.isRuling() ? 1 : 0);
  gauge('vipward_synced', '1 once all Services are read and accepted').set(controller.isPublished ? 1 : 0);
  gauge('vipward_connections', 'Open connections of agents').set(input.connections());
  gauge('vipward_build_info', 'Version of the controller', 'version', 'nodejs').set(
    { version: input.version, nodejs: process.version },
    1,
  );
  const text = `${await registry.metrics()}\n${counters(input)}${histograms(input)}`;
  return { text, contentType: registry.contentType };
}

/** Resolves after the last step. Rejects if a step throws: a failed scrape must not end the controller. */
function allOf(steps: Iterator<void, void>): Promise<void> {
  const next = (failed: (error: unknown) => void): IteratorResult<void, void> => {
    try {
      return steps.next();
    } catch (error) {
      failed(error);
      return { done: true, value: undefined };
    }
  };
  return new Promise((done, failed) => inTurns({ next: () => next(failed) }, { done }));
}

/** Counts VIPs by `STATE FILTERED FAMILY`. */
function* countVips(controller: Controller, counts: Map<string, number>): Generator<void, void> {
  for (const address of controller.rules.keys()) {
    const { state } = vipState(controller, address);
    const filtered = controller.rules.get(address)?.filtered ?? true;
    countOne(counts, `${state} ${filtered} IPv${familyOf(address)}`);
    yield;
  }
}

/** Counts taken addresses by `POOL FAMILY`. */
function* countTaken(
  { allocator }: Controller,
  pools: readonly Pool[],
  counts: Map<string, number>,
): Generator<void, void> {
  for (const address of allocator.taken()) {
    const pool = poolOf(pools, address);
    if (pool !== undefined) countOne(counts, `${pool.name} ${familyOf(address)}`);
    yield;
  }
}

function countOne(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Totals that were counted before prom-client was loaded, which it cannot be given. */
function counters({ controller, droppedEvents, logDestination }: MetricsInput): string {
  return [
    '# HELP vipward_moves_total VIPs that were moved to another node',
    '# TYPE vipward_moves_total counter',
    ...Object.entries(controller.owners.moves.completed).map(
      ([reason, count]) => `vipward_moves_total{reason="${reason}"} ${count}`,
    ),
    '# HELP vipward_refused_streams_total Connections of agents that were refused',
    '# TYPE vipward_refused_streams_total counter',
    ...[...controller.closedConnections.turnedAwayBy].map(
      ([code, count]) => `vipward_refused_streams_total{code="${code}"} ${count}`,
    ),
    '# HELP vipward_address_conflicts_total VIPs whose address another host already uses',
    '# TYPE vipward_address_conflicts_total counter',
    `vipward_address_conflicts_total ${controller.conflicts}`,
    '# HELP vipward_events_dropped_total Events that were not written because too many waited',
    '# TYPE vipward_events_dropped_total counter',
    `vipward_events_dropped_total ${droppedEvents()}`,
    droppedLinesText(logDestination),
  ].join('\n');
}

function histograms({ controller, loopLag }: MetricsInput): string {
  const update = "Time from publication to the acknowledgement of a node's kernel";
  const lag = 'Delay of the event loop in running what is due';
  return [
    controller.latency.seconds.text('vipward_update_latency_seconds', update),
    loopLag.seconds.text('vipward_event_loop_lag_seconds', lag),
  ].join('');
}
