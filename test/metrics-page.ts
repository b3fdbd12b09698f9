// The metrics that docs/operating.md lists, and those that a scrape has.

import { deepEqual, match, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('../docs/operating.md', import.meta.url), 'utf8');

/** `NAME{LABEL,...} TYPE` of each metric of the agent or the controller, as the page has it. */
function promised(of: 'agent' | 'controller'): string[] {
  const rows = page.matchAll(/^\| `(vipward_[^`]+)` +\| (\w+) +\| ([a-z, ]+?) +\| (.+?) +\|$/gm);
  return [...rows]
    .filter(([, , , who]) => who?.split(', ').includes(of))
    .map(([, name, type]) => `${name} ${type}`);
}

/** The same of a scrape; a metric without a series would have no labels here. */
function scraped(text: string): string[] {
  const types = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)];
  return types.map(([, name = '', type]) => {
    const series = new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? [\\d.e+-]+$`, 'm').exec(text);
    ok(series !== null, `${name} has no series`);
    match(text, new RegExp(`^# HELP ${name} \\S.+$`, 'm'));
    const labels = [...(series[1] ?? '').matchAll(/(\w+)="/g)]
      .map(([, label]) => label)
      .filter((label) => label !== 'le');
    return `${name}${labels.length > 0 ? `{${labels}}` : ''} ${type}`;
  });
}

/** Fails unless page and scrape name the same metrics, by the rules of Prometheus for names and units. */
export function checkMetrics(text: string, of: 'agent' | 'controller'): void {
  const metrics = scraped(text);
  deepEqual(metrics.toSorted(), promised(of).toSorted());
  for (const metric of metrics) {
    const [, name = '', type] = /^([a-z_]+)\S* (\w+)$/.exec(metric) ?? [];
    ok(name.startsWith('vipward_'), name);
    deepEqual(
      [name.endsWith('_total'), name.endsWith('_seconds')],
      [type === 'counter', type === 'histogram'],
      name,
    );
  }
}

/** The value of one series. */
export function seriesValue(text: string, series: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  ok(line !== undefined, `${series} is not there`);
  return Number(line.slice(series.length));
}
