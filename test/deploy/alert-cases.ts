// Histories for `promtool test rules`: a cluster in which all is well, and for each alert one in which it
// alone fires. Series are given as they are scraped, values in the notation of promtool.

type Series = Readonly<Record<string, string>>;

const pool = (state: string): string => `vipward_pool_addresses{instance="c1",pool="lan",state="${state}"}`;
const update = (most: string): string => `vipward_update_latency_seconds_bucket{instance="n1",le="${most}"}`;

const well: Series = {
  'vipward_ruling{instance="c1"}': '1x90',
  'vipward_ruling{instance="c2"}': '0x90',
  'vipward_synced{instance="c1"}': '1x90',
  'vipward_synced{instance="c2"}': '0x90',
  'vipward_vips{instance="c1",state="serving"}': '9x90',
  'vipward_vips{instance="c1",state="pending"}': '0x90',
  'vipward_nodes{instance="c1",connected="false"}': '0x90',
  'vipward_agent_in_sync{instance="n1"}': '1x90',
  'vipward_refusals{instance="c1",reason="PortTaken"}': '0x90',
  [pool('free')]: '91x90',
  [pool('used')]: '9x90',
  'vipward_drift_repairs_total{instance="n1",kind="rule"}': '3x90',
  [update('0.01')]: '0+10x90',
  [update('+Inf')]: '0+10x90',
};

/** By the alert that each of them makes fire: what differs from the cluster in which all is well. */
export const illnesses: Readonly<Record<string, Series>> = {
  VipwardNobodyRules: { 'vipward_ruling{instance="c1"}': '0x90' },
  VipwardNotSynced: { 'vipward_synced{instance="c1"}': '0x90' },
  VipwardVipNotServed: { 'vipward_vips{instance="c1",state="pending"}': '1x90' },
  VipwardNodeNotConnected: { 'vipward_nodes{instance="c1",connected="false"}': '2x90' },
  VipwardNodeNotInSync: { 'vipward_agent_in_sync{instance="n1"}': '0x90' },
  VipwardRefused: { 'vipward_refusals{instance="c1",reason="PortTaken"}': '1x90' },
  VipwardPoolNearlyEmpty: { [pool('free')]: '9x90', [pool('used')]: '91x90' },
  VipwardRepairsGoOn: { 'vipward_drift_repairs_total{instance="n1",kind="rule"}': '0+1x90' },
  VipwardUpdatesSlow: { [update('0.01')]: '0+9x90', [update('5')]: '0+10x90' },
};

/** The file that promtool reads; YAML takes JSON. */
export function ruleTests(rulesPath: string): string {
  const cases = [['nothing', {}] as const, ...Object.entries(illnesses)];
  return JSON.stringify({
    rule_files: [rulesPath],
    evaluation_interval: '1m',
    tests: cases.map(([name, ill]) => ({
      name,
      interval: '1m',
      input_series: Object.entries({ ...well, ...ill }).map(([series, values]) => ({ series, values })),
      promql_expr_test: [
        {
          expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
          eval_time: '89m',
          exp_samples: name === 'nothing' ? [] : [{ labels: `{alertname="${name}"}`, value: 1 }],
        },
      ],
    })),
  });
}
