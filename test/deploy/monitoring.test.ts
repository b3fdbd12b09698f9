// The alerts and the dashboard of deploy/, against promtool and against the metrics that Prometheus scrapes
// from both programs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { Node, skip as noNode } from '../kernel/node.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { getJson } from '../kernel/traffic.ts';
import { Program } from '../kubernetes/processes.ts';
import { until } from '../patience.ts';
import { illnesses, ruleTests } from './alert-cases.ts';

const noPromtool = hasTool('promtool', '--version');
const skip = noNode || hasTool('prometheus', '--version') || noPromtool;
const files = fileURLToPath(new URL('../../deploy/chart/files/', import.meta.url));
const alerts = join(files, 'alerts.yaml');

const scrapers = ['controller', 'agent'] as const;
const ports = { controller: 9470, agent: 9471 };
const folder = mkdtempSync(join(tmpdir(), 'vipward-monitoring-'));

let node: Node;
before(async () => {
  if (skip !== false) return;
  node = await Node.start({ services: [{ name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'] }] });
});
after(async () => {
  if (skip === false) await node.stop();
  rmSync(folder, { recursive: true, force: true });
});

function promtool(words: readonly string[], input = ''): void {
  const { status, stdout, stderr } = spawnSync('promtool', words, { input, encoding: 'utf8' });
  assert.equal(status, 0, `promtool ${words.join(' ')}: ${stdout}${stderr}`);
}

test('promtool accepts the alert rules', { skip: noPromtool }, () => {
  promtool(['check', 'rules', '--lint-fatal', alerts]);
});

test('each alert fires alone in its case, and the dashboard counts nothing twice', {
  skip: noPromtool,
}, () => {
  const { groups } = parse(readFileSync(alerts, 'utf8'));
  const names = groups[0].rules.map(({ alert }: { alert: string }) => alert);
  assert.deepEqual(Object.keys(illnesses), names, 'each alert has its case');
  const path = join(folder, 'cases.json');
  const { panels } = JSON.parse(readFileSync(join(files, 'dashboard.json'), 'utf8'));
  writeFileSync(path, ruleTests(alerts, panels));
  promtool(['test', 'rules', path]);
});

interface Metadata {
  readonly metric: string;
  readonly type: string;
  readonly help: string;
}

interface Vector {
  readonly result: readonly { readonly value: readonly [number, string] }[];
}

/** What Prometheus has scraped from both programs. */
async function scraped(): Promise<{
  readonly names: readonly string[];
  readonly metadata: readonly Metadata[];
}> {
  const config = {
    global: { scrape_interval: '1s' },
    rule_files: [alerts],
    scrape_configs: scrapers.map((name) => ({
      job_name: name,
      static_configs: [{ targets: [`127.0.0.1:${ports[name]}`] }],
    })),
  };
  const path = join(folder, 'prometheus.yml');
  writeFileSync(path, JSON.stringify(config));
  const where = ['--storage.tsdb.path', join(folder, 'data'), '--web.listen-address', '127.0.0.1:9090'];
  const argv = ['prometheus', '--config.file', path, ...where] as const;
  await using prometheus = new Program(node.node, [...argv], join(folder, 'prometheus.log'));
  const ask = async <Data>(words: string): Promise<Data> => {
    const answer = await getJson(node.node, `http://127.0.0.1:9090/api/v1/${words}`);
    return (answer as { readonly data: Data }).data;
  };
  await until(
    'both are scraped',
    async () => {
      const { result } = await ask<Vector>('query?query=up');
      assert.deepEqual(
        result.map(({ value }) => value[1]),
        ['1', '1'],
      );
      return true;
    },
    () => prometheus.words,
  );
  const metadata = await ask<readonly Metadata[]>('targets/metadata');
  return { names: await ask('label/__name__/values'), metadata };
}

test('Prometheus scrapes every metric that the alerts and the dashboard query', { skip }, async (t) => {
  const { names, metadata } = await scraped();
  const ours = metadata.filter(({ metric }) => metric.startsWith('vipward_'));
  assert.ok(ours.length > 10);
  assert.deepEqual(
    ours.filter(({ help, type }) => help === '' || type === 'unknown'),
    [],
  );
  const asked = new Set(
    ['alerts.yaml', 'dashboard.json']
      .flatMap((name) => readFileSync(join(files, name), 'utf8').match(/\bvipward_\w+/g) ?? [])
      .map((name) => name.replace(/_bucket$/, '')),
  );
  const found = new Set(ours.map(({ metric }) => metric));
  assert.deepEqual(
    [...asked].filter((name) => !found.has(name)),
    [],
  );
  t.diagnostic(`${found.size} metrics of ours, ${names.length} names, ${asked.size} asked for`);
});

test('metric names have units, and no series names a Service or a VIP', { skip }, async (t) => {
  for (const name of scrapers) {
    const text = await metricsOf(name);
    promtool(['check', 'metrics'], text);
    assert.doesNotMatch(text, /default\/web|10\.77\.0\.100|service=/);
    t.diagnostic(`${name}: ${text.split('\n').filter((line) => /^\w/.test(line)).length} series`);
  }
});

async function metricsOf(name: (typeof scrapers)[number]): Promise<string> {
  const url = `http://127.0.0.1:${ports[name]}/metrics`;
  return await node.node.stay(async () => {
    const response = await fetch(url);
    return await response.text();
  });
}
