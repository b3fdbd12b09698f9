// The metrics of an agent, made at each scrape from its state; prom-client is loaded by the first one.

import { droppedLinesText } from '../process/log.ts';
import { RefusalCode } from '../protocol/messages.ts';
import { type Address, familyOf } from '../state/address.ts';
import type { Agent } from './agent.ts';
import type { VipCounters } from './firewall.ts';
import type { Ledger } from './ledger.ts';
import { stateOf, VipState, vipKeys } from './report.ts';

/**
 * One scrape, in a registry of its own: nothing is kept between scrapes, and nothing costs before the first.
 */
export async function metricsText(
  agent: Agent,
  counters: ReadonlyMap<Address, VipCounters>,
): Promise<{ text: string; contentType: string }> {
  const { default: prom } = await import('prom-client');
  const registry = new prom.Registry();
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new prom.Gauge({ name, help, labelNames, registers: [registry] });
  const { ledger, loop, session, version, tallies, logDestination } = agent;
  const vips = gauge('vipward_vips', 'VIPs by state', 'state', 'filtered', 'ip_family');
  const counts = countVips(ledger);
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
  // Counters that could not be read this time are no counters that are gone.
  if (counters.size > 0) tallies.dropped.follow(dropped);
  gauge('vipward_agent_in_sync', '1 while everything received is committed').set(
    loop.settled && session.problems.length === 0 ? 1 : 0,
  );
  const refusals = gauge('vipward_refusals', 'Resources that are refused now', 'reason');
  for (const reason of Object.values(RefusalCode)) refusals.set({ reason }, 0);
  for (const { code } of ledger.refusals) refusals.inc({ reason: code });
  gauge('vipward_build_info', 'The version', 'version', 'nodejs').set(
    { version, nodejs: process.version },
    1,
  );
  const text = [
    await registry.metrics(),
    '\n',
    counterText('drift_repairs_total', 'Kernel objects put right after others changed them', [
      ...tallies.repairs.entries().map(([kind, count]) => [`{kind="${kind}"}`, count] as const),
    ]),
    counterText('dropped_packets_total', 'Packets dropped at VIPs', [['', tallies.dropped.sum]]),
    counterText('address_conflicts_total', 'VIPs found to be an address that somebody has', [
      ['', tallies.conflicts],
    ]),
    tallies.commit.text('vipward_commit_duration_seconds', 'From a diff to its commit in the kernel'),
    tallies.update.text('vipward_update_latency_seconds', 'From a frame to everything in it committed'),
    droppedLinesText(logDestination),
  ].join('');
  return { text, contentType: registry.contentType };
}

/** How many VIPs there are, by state, guard and family. */
function countVips(ledger: Ledger): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of vipKeys(ledger)) {
    const filtered = ledger.committed.get(key)?.filtered ?? true;
    const kind = `${stateOf(ledger, key)} ${filtered} IPv${familyOf(key)}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** What prom-client cannot be given: totals that were counted before it was loaded. */
function counterText(name: string, help: string, values: readonly (readonly [string, number])[]): string {
  const lines = values.map(([labels, value]) => `vipward_${name}${labels} ${value}\n`);
  return `# HELP vipward_${name} ${help}\n# TYPE vipward_${name} counter\n${lines.join('')}`;
}
