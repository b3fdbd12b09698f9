// The metrics of an agent, made at each scrape from its state; prom-client is loaded by the first one.

import { droppedLinesText } from '../process/log.ts';
import { type Address, familyOf } from '../state/address.ts';
import type { Agent } from './agent.ts';
import type { VipCounters } from './firewall.ts';
import { vipReports } from './report.ts';

/**
 * One scrape, in a registry of its own: nothing is kept between scrapes, and nothing costs before the first.
 */
export async function metricsText(
  agent: Agent,
  counters: ReadonlyMap<Address, VipCounters>,
): Promise<{ text: string; contentType: string }> {
  const { Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const { ledger, loop, session, version, tallies, logDestination } = agent;
  const vips = gauge('vipward_vips', 'VIPs by state', 'state', 'filtered', 'ip_family');
  let dropped = 0;
  for (const { address, state, dropped: here } of vipReports(ledger, counters)) {
    const filtered = String(ledger.committed.get(address)?.filtered ?? true);
    vips.inc({ state, filtered, ip_family: `IPv${familyOf(address)}` });
    dropped += here ?? 0;
  }
  gauge('vipward_agent_in_sync', '1 while everything received is committed').set(
    loop.settled && session.problems.length === 0 ? 1 : 0,
  );
  const refusals = gauge('vipward_refusals', 'Resources that are refused now', 'reason');
  for (const { code } of ledger.refusals) refusals.inc({ reason: code });
  gauge('vipward_build_info', 'The version', 'version', 'nodejs').set(
    { version, nodejs: process.version },
    1,
  );
  const repairs = [...tallies.repairs].map(
    ([kind, count]) => `vipward_drift_repairs_total{kind="${kind}"} ${count}\n`,
  );
  const text = [
    await registry.metrics(),
    '\n# HELP vipward_drift_repairs_total Kernel objects put right after somebody else changed them\n',
    '# TYPE vipward_drift_repairs_total counter\n',
    ...repairs,
    '# HELP vipward_dropped_packets_total Packets dropped at VIPs, by the counters the kernel holds now\n',
    `# TYPE vipward_dropped_packets_total counter\nvipward_dropped_packets_total ${dropped}\n`,
    tallies.commit.text('vipward_commit_duration_seconds', 'From a diff to its commit in the kernel'),
    tallies.update.text('vipward_update_latency_seconds', 'From a frame to everything in it committed'),
    droppedLinesText(logDestination),
  ].join('');
  return { text, contentType: registry.contentType };
}
