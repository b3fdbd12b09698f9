// The metrics of an agent, made from its state at each scrape. The first scrape loads prom-client.

import { droppedLinesText } from '../process/log.ts';
import { RefusalCode } from '../protocol/messages.ts';
import { type Address, familyOf } from '../state/address.ts';
import type { Agent } from './agent.ts';
import type { VipCounters } from './firewall/firewall.ts';
import { type Known, stateOf, VipState, vipKeys } from './report.ts';

export interface MetricsText {
  readonly text: string;
  readonly contentType: string;
}

/** One scrape of a running agent. */
export async function metricsText(
  agent: Agent,
  counters: ReadonlyMap<Address, VipCounters>,
): Promise<MetricsText> {
  const { ledger, loop, session, version, tallies, logDestination } = agent;
  const inSync = loop.settled && session.problems.length === 0;
  const { registry, gauge } = await openRegistry({ version, inSync });
  const vips = gauge('vipward_vips', 'VIPs by state', 'state', 'filtered', 'ip_family');
  const counts = countVips(agent);
  for (const state of Object.values(VipState)) {
    for (const filtered of ['true', 'false'])
      for (const ipFamily of ['IPv4', 'IPv6'])
        vips.set(
          { state, filtered, ip_family: ipFamily },
          counts.get(`${state} ${filtered} ${ipFamily}`) ?? 0,
        );
  }
  const dropped = new Map<Address, number>();
  for (const [address, { dropped: here }] of counters) if (here !== null) dropped.set(address, here);
  // An empty map means that the counters could not be read, not that they are gone.
  if (counters.size > 0) tallies.dropped.follow(dropped);
  const refusals = gauge('vipward_refusals', 'Resources that are refused now', 'reason');
  for (const reason of Object.values(RefusalCode)) refusals.set({ reason }, 0);
  for (const refusal of ledger.refusals)
    if (!ledger.isElsewhere(refusal)) refusals.inc({ reason: refusal.code });
  const text = [
    await registry.metrics(),
    '\n',
    counterText('drift_repairs_total', 'Kernel objects repaired after foreign changes', [
      ...tallies.repairs.entries().map(([kind, count]) => [`{kind="${kind}"}`, count] as const),
    ]),
    counterText('dropped_packets_total', 'Packets dropped at VIPs, or only counted with --filter observe', [
      ['', tallies.dropped.sum],
    ]),
    counterText('address_conflicts_total', 'VIPs whose address another host already uses', [
      ['', tallies.conflicts],
    ]),
    counterText('unsent_announcements_total', 'Announcements that an interface did not send', [
      ['', agent.announcer.unsent],
    ]),
    tallies.commit.text(
      'vipward_commit_duration_seconds',
      'Time from a change sent to the kernel to its answer',
    ),
    tallies.update.text(
      'vipward_update_latency_seconds',
      'Time from a frame to the commit of all its changes',
    ),
    droppedLinesText(logDestination),
  ].join('');
  return { text, contentType: registry.contentType };
}

/** One scrape of an agent that waits for a firewall and has nothing to count yet. */
export async function waitingMetricsText(version: string): Promise<MetricsText> {
  const { registry } = await openRegistry({ version, inSync: false });
  return { text: await registry.metrics(), contentType: registry.contentType };
}

/**
 * A registry with the gauges of every agent, running or waiting. It is made anew for each scrape, so that
 * nothing is kept between scrapes and nothing is loaded before the first.
 */
async function openRegistry({ version, inSync }: { readonly version: string; readonly inSync: boolean }) {
  const { default: prom } = await import('prom-client');
  const registry = new prom.Registry();
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new prom.Gauge({ name, help, labelNames, registers: [registry] });
  gauge('vipward_agent_in_sync', '1 while everything received is committed').set(inSync ? 1 : 0);
  gauge('vipward_build_info', 'Version of the agent', 'version', 'nodejs').set(
    { version, nodejs: process.version },
    1,
  );
  return { registry, gauge };
}

/** Counts VIPs by `${state} ${filtered} ${family}`. */
function countVips(known: Known): ReadonlyMap<string, number> {
  const { ledger } = known;
  const counts = new Map<string, number>();
  for (const key of vipKeys(ledger)) {
    const filtered = ledger.committed.get(key)?.filtered ?? true;
    const kind = `${stateOf(known, key)} ${filtered} IPv${familyOf(key)}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** A counter as text: prom-client cannot be given totals that were counted before it was loaded. */
function counterText(name: string, help: string, values: readonly (readonly [string, number])[]): string {
  const lines = values.map(([labels, value]) => `vipward_${name}${labels} ${value}\n`);
  return `# HELP vipward_${name} ${help}\n# TYPE vipward_${name} counter\n${lines.join('')}`;
}
