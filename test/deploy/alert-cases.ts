// Histories for `promtool test rules`: a healthy cluster, for each alert one in which it alone fires, and
// what the dashboard shows of the healthy one. Series are given as they are scraped, values in the notation
// of promtool. c1 rules, c2 stands by, and the agents of n1 and n2 count in their own way what c1 counts.

type Series = Readonly<Record<string, string>>;

const pool = (instance: string, family: string, state: string): string => {
  return `vipward_pool_addresses{instance="${instance}",pool="lan",ip_family="${family}",state="${state}"}`;
};
const update = (instance: string, most: string): string => {
  return `vipward_update_latency_seconds_bucket{instance="${instance}",le="${most}"}`;
};

const well: Series = {
  'vipward_ruling{instance="c1"}': '1x90',
  'vipward_ruling{instance="c2"}': '0x90',
  'vipward_synced{instance="c1"}': '1x90',
  'vipward_synced{instance="c2"}': '0x90',
  'vipward_vips{instance="c1",state="serving"}': '9x90',
  'vipward_vips{instance="c1",state="pending"}': '0x90',
  'vipward_vips{instance="c2",state="serving"}': '0x90',
  'vipward_vips{instance="c2",state="pending"}': '9x90',
  'vipward_vips{instance="n1",state="serving"}': '5x90',
  'vipward_vips{instance="n1",state="released"}': '4x90',
  'vipward_vips{instance="n2",state="serving"}': '4x90',
  'vipward_vips{instance="n2",state="refused"}': '0x90',
  'vipward_nodes{instance="c1",connected="false"}': '0x90',
  'vipward_agent_in_sync{instance="n1"}': '1x90',
  'vipward_refusals{instance="c1",reason="PortTaken"}': '0x90',
  'vipward_refusals{instance="n1",reason="Forbidden"}': '0x90',
  [pool('c1', 'IPv4', 'free')]: '91x90',
  [pool('c1', 'IPv4', 'used')]: '9x90',
  [pool('c1', 'IPv6', 'free')]: '65536x90',
  [pool('c1', 'IPv6', 'used')]: '0x90',
  [pool('c2', 'IPv4', 'free')]: '100x90',
  [pool('c2', 'IPv4', 'used')]: '0x90',
  'vipward_drift_repairs_total{instance="n1",kind="rule"}': '3x90',
  [update('c1', '0.01')]: '0+10x90',
  [update('c1', '+Inf')]: '0+10x90',
  [update('n1', '0.0005')]: '0+1000x90',
  [update('n1', '+Inf')]: '0+1000x90',
};

/** By alert: what differs from the healthy cluster when it fires. */
export const illnesses: Readonly<Record<string, Series>> = {
  VipwardNobodyRules: { 'vipward_ruling{instance="c1"}': '0x90' },
  VipwardNotSynced: { 'vipward_synced{instance="c1"}': '0x90' },
  VipwardVipNotServed: { 'vipward_vips{instance="c1",state="pending"}': '1x90' },
  VipwardNodeNotConnected: { 'vipward_nodes{instance="c1",connected="false"}': '2x90' },
  VipwardNodeNotInSync: { 'vipward_agent_in_sync{instance="n1"}': '0x90' },
  VipwardRefused: { 'vipward_refusals{instance="c1",reason="PortTaken"}': '1x90' },
  VipwardPoolNearlyEmpty: { [pool('c1', 'IPv4', 'free')]: '9x90', [pool('c1', 'IPv4', 'used')]: '91x90' },
  VipwardRepairsGoOn: { 'vipward_drift_repairs_total{instance="n1",kind="rule"}': '0+1x90' },
  VipwardUpdatesSlow: { [update('c1', '0.01')]: '0+9x90', [update('c1', '5')]: '0+10x90' },
};

/** Series of one agent or standby in which no alert fires. */
const harmless: Readonly<Record<string, Series>> = {
  'a node refuses a VIP that another node serves': {
    'vipward_vips{instance="n2",state="refused"}': '1x90',
    'vipward_refusals{instance="n1",reason="Forbidden"}': '1x90',
  },
  'a standby saw a full pool last': {
    [pool('c2', 'IPv4', 'free')]: '0x90',
    [pool('c2', 'IPv4', 'used')]: '100x90',
  },
  'only one node reports late commits': {
    [update('n1', '0.0005')]: '0x90',
    [update('n1', '10')]: '0+1000x90',
  },
};

/** By the title of a panel: the result of each of its queries in the healthy cluster, by labels. */
const shown: Readonly<Record<string, readonly Series[]>> = {
  'VIPs served': [{ '{}': '9' }],
  Refused: [{ '{}': '0' }],
  'VIPs by state': [{ '{state="serving"}': '9', '{state="pending"}': '0' }],
  'From publication to the kernel of a node': [{ '{}': '0.005' }, { '{}': '0.0099' }],
  'Refusals by reason': [{ '{reason="PortTaken"}': '0' }],
  'Addresses of the pools': [
    { '{pool="lan",ip_family="IPv4"}': '0.91', '{pool="lan",ip_family="IPv6"}': '1' },
  ],
};

export interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

/** The file that promtool reads; YAML takes JSON. */
export function ruleTests(rulesPath: string, panels: readonly Panel[]): string {
  const firing = (name: string, alerts: readonly string[], ill: Series) => {
    const samples = Object.fromEntries(alerts.map((alert) => [`{alertname="${alert}"}`, '1']));
    return historyOf(name, ill, [{ expr: 'count by (alertname) (ALERTS{alertstate="firing"})', samples }]);
  };
  const questions = Object.keys(shown).flatMap((title) => questionsOf(panels, title));
  return JSON.stringify({
    rule_files: [rulesPath],
    evaluation_interval: '1m',
    tests: [
      firing('no alert fires in a healthy cluster', [], {}),
      ...Object.entries(harmless).map(([name, ill]) => firing(name, [], ill)),
      ...Object.entries(illnesses).map(([name, ill]) => firing(name, [name], ill)),
      historyOf('the dashboard shows the healthy cluster', {}, questions),
    ],
  });
}

/** A query, and what it has to find. */
interface Question {
  readonly expr: string;
  readonly samples: Series;
}

function historyOf(name: string, ill: Series, questions: readonly Question[]) {
  return {
    name,
    interval: '1m',
    input_series: Object.entries({ ...well, ...ill }).map(([series, values]) => ({ series, values })),
    promql_expr_test: questions.map(({ expr, samples }) => ({
      expr,
      eval_time: '89m',
      exp_samples: Object.entries(samples).map(([labels, value]) => ({ labels, value: Number(value) })),
    })),
  };
}

function questionsOf(panels: readonly Panel[], title: string): Question[] {
  const panel = panels.find((one) => one.title === title);
  if (panel === undefined) throw new Error(`no panel ${title}`);
  return panel.targets.map(({ expr }, index) => {
    return { expr: expr.replaceAll('$__rate_interval', '5m'), samples: shown[title]?.[index] ?? {} };
  });
}
