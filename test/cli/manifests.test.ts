// `vipward manifests` renders the chart without Helm: its output and its values.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { agentOptions } from '../../src/agent/config.ts';
import { defaultValues } from '../../src/cli/manifests/chart.ts';
import { renderTemplate } from '../../src/cli/manifests/render.ts';
import type { Values } from '../../src/cli/manifests/values.ts';
import { controllerOptions } from '../../src/controller/config.ts';
import { readVersion } from '../../src/process/version.ts';
import { configOf } from '../controller/fixture.ts';
import { run } from './stub.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: an object of the API, whose fields a test names as they are.
  readonly [field: string]: any;
}

async function manifests(...words: readonly string[]): Promise<readonly Manifest[]> {
  const { code, out, err } = await run(['manifests', ...words]);
  assert.equal(code, 0, err);
  return parseAllDocuments(out).map((document) => document.toJS() as Manifest);
}

async function one(kind: string, name: string, ...words: readonly string[]): Promise<Manifest> {
  const found = (await manifests(...words)).filter(
    (item) => item.kind === kind && item.metadata.name === name,
  );
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0] as Manifest;
}

function argsOf(workload: Manifest): readonly string[] {
  return workload['spec'].template.spec.containers[0].args;
}

test('deploy/install.yaml is the output of manifests, with the image of this version', async () => {
  const { out } = await run(['manifests']);
  const path = fileURLToPath(new URL('../../deploy/install.yaml', import.meta.url));
  assert.equal(readFileSync(path, 'utf8'), out, 'run: vipward manifests > deploy/install.yaml');
  assert.match(out, new RegExp(`image: "vipward:${readVersion()}"`));
});

test('each part has its objects, in an order in which they can be applied', async () => {
  const kinds = async (part: string) => (await manifests(part)).map(({ kind }) => kind);
  assert.deepEqual(await kinds('crds'), ['CustomResourceDefinition']);
  assert.deepEqual(await kinds('agent'), ['Namespace', 'ServiceAccount', 'DaemonSet']);
  const controller = await kinds('controller');
  assert.equal(controller[0], 'Namespace');
  assert.ok(controller.includes('Deployment') && !controller.includes('DaemonSet'));
  const all = await kinds('all');
  assert.deepEqual(all.slice(0, 2), ['Namespace', 'CustomResourceDefinition']);
  assert.equal(all.filter((kind) => kind === 'Namespace').length, 1);
});

test('-o json is one List of the same objects', async () => {
  const { out } = await run(['manifests', '-o', 'json']);
  assert.deepEqual(JSON.parse(out), { apiVersion: 'v1', kind: 'List', items: await manifests() });
});

test('every namespaced object is in the namespace of --namespace', async () => {
  const items = await manifests('--namespace', 'elsewhere');
  const spaces = new Set(
    items.map(({ metadata }) => metadata.namespace).filter((name) => name !== undefined),
  );
  assert.deepEqual([...spaces], ['elsewhere']);
  assert.doesNotMatch(JSON.stringify(items), /vipward-system/);
});

test('--set takes pools, prefixes and flags in the syntax of Helm', async () => {
  const set = ['--set', 'pools.lan={10.0.0.1-10.0.0.9,fd00::/120},allow={10.0.0.0/24}', '--set'];
  const items = [...set, 'controller.replicas=3,agent.extraArgs={--echo=off}'];
  const config = await one('ConfigMap', 'vipward-controller', ...items);
  assert.equal(config['data']['controller.yaml'], 'pool:\n  - lan=10.0.0.1-10.0.0.9,fd00::/120\n');
  assert.equal((await one('Deployment', 'vipward-controller', ...items))['spec'].replicas, 3);
  const args = argsOf(await one('DaemonSet', 'vipward-agent', ...items));
  assert.ok(args.includes('--allow=10.0.0.0/24') && args.includes('--echo=off'), String(args));
});

test('a file of --values overrides the defaults, and --set overrides the file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-values-'));
  try {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, 'agent: {filter: observe, logLevel: warn}\ncontroller: {nodeSelector: {a: b}}\n');
    const words = ['--values', file, '--set', 'agent.logLevel=debug'];
    const args = argsOf(await one('DaemonSet', 'vipward-agent', ...words));
    assert.ok(args.includes('--filter=observe') && args.includes('--log-level=debug'), String(args));
    const { spec } = (await one('Deployment', 'vipward-controller', ...words))['spec'].template;
    assert.deepEqual(spec.nodeSelector, { a: 'b', 'kubernetes.io/os': 'linux' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('unknown parts, values and flags are refused by name', async () => {
  for (const [words, message] of [
    [
      ['everything'],
      /'everything' is invalid for argument 'part'\. Allowed choices are crds, agent, controller, all/,
    ],
    [['--set', 'agent.filtre=observe'], /the chart has no value agent\.filtre; use one of interface, /],
    [['--set', 'agent=observe'], /agent: expected a mapping of values such as interface/],
    [['--set', 'allow'], /expected NAME=VALUE, got "allow"/],
    [['--values', '/nowhere'], /--values \/nowhere: ENOENT/],
    [['-o', 'table'], /--output <form>' argument 'table' is invalid\. Allowed choices are yaml, json/],
    [['--namespace', 'A b'], /--namespace: expected a name such as vipward-system, got "A b"/],
  ] as const) {
    const { code, out, err } = await run(['manifests', ...words]);
    assert.deepEqual([code, out], [2, ''], err);
    assert.match(err, message);
  }
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

test('the schema has exactly the values of the chart', () => {
  const { global: ofHelm, ...schemas } = propertiesOf(JSON.parse(readChart('values.schema.json')));
  assert.ok(ofHelm, 'Helm itself adds `global`');
  const compare = (values: Values, properties: Readonly<Record<string, Schema>>): void => {
    assert.deepEqual(Object.keys(properties), Object.keys(values));
    for (const [key, schema] of Object.entries(properties)) {
      if (schema.properties !== undefined) compare(values[key] as Values, schema.properties);
    }
  };
  compare(defaultValues(), schemas);
});

function propertiesOf({ properties = {} }: Schema): Readonly<Record<string, Schema>> {
  return properties;
}

function readChart(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../../deploy/chart/${name}`, import.meta.url)), 'utf8');
}

test('every flag in the manifests is an option of its program', async () => {
  for (const [workload, options] of [
    [await one('DaemonSet', 'vipward-agent'), agentOptions],
    [await one('Deployment', 'vipward-controller'), controllerOptions],
  ] as const) {
    const known = options.map(({ name }) => name as string);
    const flags = argsOf(workload)
      .slice(1)
      .map((arg) => /^--([a-z-]+)/.exec(arg)?.[1] ?? arg);
    assert.ok(flags.length > 5);
    assert.deepEqual(
      flags.filter((flag) => !known.includes(flag)),
      [],
    );
  }
});

test('the controller advertises the IPv4 or IPv6 address of its Pod', async () => {
  const args = argsOf(await one('Deployment', 'vipward-controller'));
  const named = /^--(kubernetes$|listen=|advertise=|namespace=|agent-service-account=)/;
  const argv = args.filter((flag) => named.test(flag));
  for (const [podIp, advertised] of [
    ['10.244.0.7', '10.244.0.7:9470'],
    ['fd77::7', '[fd77::7]:9470'],
  ] as const) {
    const { source } = await configOf([
      ...argv.map((flag) => flag.replace('$(POD_IP)', podIp)),
      ...['--pool', 'p=10.0.0.0/24'],
    ]);
    assert.equal(source.kind === 'kubernetes' && source.advertise, advertised);
  }
});

test('the agent has two capabilities and no other right, and the controller has none', async () => {
  const { spec: agent } = (await one('DaemonSet', 'vipward-agent'))['spec'].template;
  assert.deepEqual(agent.containers[0].securityContext, {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
  });
  assert.deepEqual([agent.hostNetwork, agent.automountServiceAccountToken], [true, false]);
  assert.deepEqual(agent.securityContext, { seccompProfile: { type: 'RuntimeDefault' } });
  const { spec: controller } = (await one('Deployment', 'vipward-controller'))['spec'].template;
  assert.deepEqual(controller.containers[0].securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  assert.equal(controller.securityContext.runAsNonRoot, true);
});

test('objects of the Prometheus operator are rendered only on request', async () => {
  assert.doesNotMatch(JSON.stringify(await manifests()), /monitoring\.coreos\.com|grafana/);
  const set = [
    '--set',
    'monitoring.podMonitor=true,monitoring.prometheusRule=true,monitoring.dashboard=true',
  ];
  const rule = await one('PrometheusRule', 'vipward', ...set);
  assert.equal(rule['spec'].groups[0].name, 'vipward');
  const dashboard = await one('ConfigMap', 'vipward-dashboard', ...set);
  assert.equal(JSON.parse(dashboard['data']['vipward.json']).uid, 'vipward');
});

const rendered: readonly (readonly [string, string])[] = [
  ['a {{ .Values.text }} b', 'a text b'],
  ['a\n{{- if .Values.none }}\nno\n{{- else }}\nyes\n{{- end }}\nb', 'a\nyes\nb'],
  ['{{ if not .Values.none }}x{{ end }}', 'x'],
  ['{{ range $k, $v := .Values.map }}{{ $k }}={{ $v }};{{ end }}', 'a=1;b=2;'],
  ['{{ range $v := .Values.list }}{{ $v | quote }},{{ end }}', '"x","y z",'],
  ['{{ .Values.none | default "d" }}{{ .Values.text | default "d" }}', 'dtext'],
  ['k: {{- .Values.map | toYaml | nindent 2 }}', 'k:\n  a: 1\n  b: 2'],
  ['{{ .Values.yes | toYaml }}', 'a: "yes"\nb: true'],
  ['{{ join "," .Values.list }} {{ join "," .Values.text }}', 'x,y z text'],
  ['{{ if or .Values.none (not .Values.text) }}x{{ else }}y{{ end }}', 'y'],
];

for (const [template, text] of rendered) {
  test(`the template ${JSON.stringify(template)} is rendered as Helm renders it`, () => {
    const values = {
      text: 'text',
      map: { b: 2, a: 1 },
      list: ['x', 'y z'],
      yes: { a: 'yes', b: true },
      none: [],
    };
    assert.equal(renderTemplate(template, { roots: { Values: values }, file: () => undefined }), text);
  });
}

test('unsupported template syntax is refused with its line', () => {
  const render = (text: string) => renderTemplate(text, { roots: { Values: {} }, file: () => undefined });
  assert.throws(
    () => render('a\n{{ include "x" . }}'),
    /^Error: line 2: \. is not a value, a path or a function/,
  );
  assert.throws(
    () => render('a\n\n{{ upper "x" }}'),
    /line 3: function upper is not supported: use one of quote, /,
  );
  assert.throws(() => render('{{ if .Values.a }}'), /line 1: \{\{ if \.Values\.a \}\} has no \{\{ end \}\}/);
  assert.throws(() => render('{{ end }}'), /line 1: \{\{ end \}\} has no block to close/);
  assert.throws(() => render('{{ .Capabilities.Kube }}'), /line 1: \.Capabilities is not defined here/);
});
