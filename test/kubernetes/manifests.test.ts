// The output of `vipward manifests` on a real API server, which accepts all of it, and its Pods.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import type { Part } from '../../src/cli/manifests/parts.ts';
import { mergeValues, type Values } from '../../src/cli/manifests/values.ts';
import { until } from '../patience.ts';
import { Cluster } from './cluster.ts';
import { programPath, skip, withoutProgram } from './control-plane.ts';

const namespace = 'vipward-system';
const mergePatch = { type: 'application/merge-patch+json' };
const everything = {
  createNamespace: true,
  pools: { lan: ['10.0.0.100-10.0.0.199', 'fd00::100-fd00::1ff'], office: ['192.168.0.0/28'] },
  imagePullSecrets: [{ name: 'registry' }],
  agent: { extraArgs: ['--echo=off'], podAnnotations: { a: 'b' }, nodeSelector: { vip: 'yes' } },
  controller: {
    extraArgs: ['--mass-removal=now'],
    podAnnotations: { c: 'd' },
    watchNamespaces: ['a', 'b'],
    tokenSecret: 't',
  },
  monitoring: { podMonitor: true, prometheusRule: true, dashboard: true, labels: { release: 'x' } },
};

/** Removes defaults that an administrator may not want. */
const removing = {
  agent: { resources: null, nodeSelector: null, updateStrategy: null },
  controller: { resources: null, nodeSelector: null, tolerations: null, priorityClassName: null },
};

let cluster: Cluster;
before(async () => {
  if (skip !== false) return;
  cluster = await Cluster.start();
  cluster.kubectl(['create', 'namespace', namespace]);
  const { items } = { items: ['PodMonitor', 'PrometheusRule'].map(definitionOf) };
  cluster.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
});
after(async () => {
  if (skip === false) await cluster.stop();
});

/** A stand-in for a definition of the Prometheus operator: it takes any spec. */
function definitionOf(kind: string): object {
  const plural = `${kind.toLowerCase()}s`;
  const spec = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names: { kind, plural },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        },
      ],
    },
  };
}

function render(given: Values = {}, part: Part = 'all'): string {
  return renderChart({ part, namespace, values: mergeValues(defaultValues(), given) });
}

// biome-ignore lint/suspicious/noExplicitAny: objects of the API, whose fields a test names as they are.
function objectsOf(text: string): any[] {
  return parseAllDocuments(text).flatMap((document) => document.toJS() ?? []);
}

for (const [what, given] of [
  ['the defaults', { createNamespace: true }],
  ['everything that can be set', everything],
  ['defaults that are removed', removing],
] as const) {
  test(`the API server accepts the manifests with ${what}`, { skip }, () => {
    const text = render(given);
    const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
    const lines = cluster.kubectl(apply, text).trim().split('\n');
    assert.equal(lines.length, objectsOf(text).length, lines.join('\n'));
  });
}

test('the API server accepts the examples for a cluster', { skip }, () => {
  for (const name of ['cleanup', 'network-policy']) {
    const text = readFileSync(new URL(`../../examples/${name}.yaml`, import.meta.url), 'utf8');
    const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
    assert.match(cluster.kubectl(apply, text), /serverside-applied/);
  }
});

const label = 'pod-security.kubernetes.io/enforce';
const pods = `/api/v1/namespaces/${namespace}/pods?dryRun=All`;
/** The answers to a Pod without demands, and to one on the node's own network. */
const answers = { privileged: [201, 201], baseline: [201, 403], restricted: [403, 403] } as const;

/** Waits until a level is in force: admission reads the label a while after it was written. */
async function enforces(level: keyof typeof answers): Promise<void> {
  await until(`${level} is enforced`, async () => {
    const statuses: number[] = [];
    for (const hostNetwork of [false, true]) {
      const spec = { hostNetwork, containers: [{ name: 'a', image: 'a' }] };
      statuses.push((await cluster.ask('POST', pods, { metadata: { name: 'probe' }, spec })).status);
    }
    assert.deepEqual(statuses, answers[level]);
    return true;
  });
}

test('the API server admits the Pods under the namespace labels of the chart, not the agent under baseline', {
  skip,
}, async () => {
  cluster.kubectl(['apply', '--server-side', '-f', '-'], render({ createNamespace: true }));
  await enforces('privileged');
  for (const workload of objectsOf(render()).filter(({ spec }) => spec?.template !== undefined)) {
    const pod = { ...workload.spec.template, metadata: { name: workload.metadata.name } };
    assert.equal((await cluster.ask('POST', pods, pod)).status, 201);
    const isAgent = workload.kind === 'DaemonSet';
    const level = isAgent ? 'baseline' : 'restricted';
    cluster.kubectl(['label', 'namespace', namespace, '--overwrite', `${label}=${level}`]);
    await enforces(level);
    const { status, body } = await cluster.ask('POST', pods, pod);
    assert.equal(status, isAgent ? 403 : 201, JSON.stringify(body));
    cluster.kubectl(['label', 'namespace', namespace, '--overwrite', `${label}=privileged`]);
    await enforces('privileged');
  }
});

test('the chart grants no right by a wildcard, and none to an agent', { skip }, async () => {
  const objects = objectsOf(render(everything));
  const rules = objects.filter(({ kind }) => kind.endsWith('Role')).flatMap(({ rules: all }) => all);
  assert.ok(rules.length > 4);
  assert.doesNotMatch(JSON.stringify(rules), /\*/);
  const subjects = objects.flatMap(({ subjects: all = [] }) => all.map(({ name }: { name: string }) => name));
  assert.deepEqual([...new Set(subjects)], ['vipward-controller']);
});

test('a drain evicts controllers that are not ready, and not the last one that is', { skip }, async () => {
  cluster.kubectl(['apply', '--server-side', '-f', '-'], render({ createNamespace: true }));
  const { metadata } = objectsOf(render()).find(({ kind }) => kind === 'PodDisruptionBudget');
  const core = `/api/v1/namespaces/${namespace}/pods`;
  const budget = `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets/${metadata.name}`;
  /** What a kubelet and the controller of budgets would write. */
  const say = (path: string, status: object) => cluster.do('PATCH', `${path}/status`, { status }, mergePatch);
  /** The answer to the eviction of one of two controllers, of which so many are ready. */
  const evicted = async (name: string, isReady: boolean, currentHealthy: number): Promise<number> => {
    const spec = { containers: [{ name: 'a', image: 'a' }] };
    await cluster.do('POST', core, { metadata: { name, labels: metadata.labels }, spec });
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }];
    await say(`${core}/${name}`, { phase: 'Running', conditions });
    const { generation: observedGeneration } = (await cluster.do('GET', budget)).metadata;
    const counts = { currentHealthy, desiredHealthy: 1, disruptionsAllowed: 0, expectedPods: 2 };
    await say(budget, { observedGeneration, ...counts });
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } };
    return (await cluster.ask('POST', `${core}/${name}/eviction`, eviction)).status;
  };
  assert.equal(await evicted('standby', false, 1), 201);
  assert.equal(await evicted('active', true, 1), 429);
  // As before the definitions are applied.
  assert.equal(await evicted('neither', false, 0), 201);
});

test('kubectl delete by label leaves the namespace, the definition and its records', { skip }, () => {
  const text = render(everything);
  cluster.kubectl(['apply', '--server-side', '-f', '-'], text);
  const [apiVersion, kind] = ['vipward.io/v1alpha1', 'VirtualIP'];
  const record = { apiVersion, kind, metadata: { name: '10.0.0.100' }, spec: { address: '10.0.0.100' } };
  cluster.kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(record));
  const chosen = ['-f', '-', '-l', 'app.kubernetes.io/component'];
  cluster.kubectl(['delete', '--ignore-not-found', '--wait=false', ...chosen], text);
  const left = cluster.kubectl(['get', '--ignore-not-found', '-o', 'name', '-f', '-'], text);
  assert.deepEqual(left.trim().split('\n').toSorted(), [
    'customresourcedefinition.apiextensions.k8s.io/virtualips.vipward.io',
    `namespace/${namespace}`,
  ]);
  assert.match(cluster.kubectl(['get', 'virtualips', '-o', 'name']), /10\.0\.0\.100/);
});

const noHelm = skip || withoutProgram('helm-template');

/** Helm's rendering of the chart with these values. */
function helm(given: object): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  const chart = fileURLToPath(new URL('../../deploy/chart', import.meta.url));
  const input = JSON.stringify(given);
  return spawnSync(programPath('helm-template'), [chart, namespace], { input, encoding: 'utf8' });
}

for (const given of [{}, { createNamespace: true }, everything, removing]) {
  const what = Object.keys(given).join(', ') || 'no values';
  test(`Helm's own engine renders the same objects, with ${what}`, { skip: noHelm }, () => {
    const { status, stdout, stderr } = helm(given);
    assert.equal(status, 0, stderr);
    const byName = (text: string): object => {
      const named = objectsOf(text).map((item) => [`${item.kind} ${item.metadata.name}`, item]);
      return Object.fromEntries(named.sort());
    };
    assert.deepEqual(byName(render(given)), byName(stdout));
  });
}

test('Helm refuses a value that the chart does not have', { skip: noHelm }, () => {
  const { status, stderr } = helm({ agent: { filtre: 'observe' } });
  assert.equal(status, 1);
  assert.match(stderr, /Additional property filtre is not allowed/);
});
