// `vipward manifests` refuses values of the chart that its schema forbids, before it prints anything.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { defaultValues, valuesSchema } from '../../src/cli/manifests/chart.ts';
import { checkValue, keywords } from '../../src/cli/manifests/schema.ts';
import { folder } from '../controller/fixture.ts';
import { run } from './stub.ts';

const refused: readonly (readonly [set: string, message: RegExp])[] = [
  [
    'agent.filter=observ',
    /--set agent\.filter=observ: agent\.filter: expected enforce or observe, got "observ"/,
  ],
  ['controller.replicas=two', /controller\.replicas: expected a whole number, got "two"/],
  ['controller.replicas=1.5', /controller\.replicas: expected a whole number, got "1\.5"/],
  ['controller.replicas=-1', /controller\.replicas: expected 1 or more, got -1/],
  ['agent.metricsPort=70000', /agent\.metricsPort: expected 65535 or less, got 70000/],
  ['agent.logLevel=loud', /agent\.logLevel: expected trace or debug or .* or silent, got "loud"/],
  ['controller.logLevel=loud', /controller\.logLevel: expected trace or debug or .*, got "loud"/],
  ['agent.stateDir=state', /agent\.stateDir: expected text that matches \^\/, got "state"/],
  ['agent.interface=', /agent\.interface: expected text that matches .*, got ""/],
  ['agent.interface=eth0: x', /agent\.interface: expected text that matches .*, got "eth0: x"/],
  ['allow={}', /allow: expected a list of 1 or more, got \[\]/],
  ['createNamespace=yes', /createNamespace: expected true or false, got "yes"/],
  ['agent.tolerations={a}', /agent\.tolerations\[0\]: expected a mapping, got "a"/],
  ['pools={10.0.0.0/24}', /pools: expected a mapping, got \["10\.0\.0\.0\/24"\]/],
  ['pools.lan=7', /pools\.lan: expected a list or text, got 7/],
  ['pools.lan={1}', /pools\.lan\[0\]: expected text, got 1/],
  ['pools.lan=10.0.0.0/33', /pools lan=10\.0\.0\.0\/33: expected a prefix length of 0-32/],
  ['pools.lan={10.0.0.1},pools.b={10.0.0.0/24}', /pools: 10\.0\.0\.1-10\.0\.0\.1 and .* overlap/],
  ['allow=10.0.0.0/8', /allow: expected a list, got "10\.0\.0\.0\/8"/],
  ['allow={10.0.0.0/8,banana}', /allow: expected an IPv4 or IPv6 address, got "banana"/],
];

for (const [set, message] of refused)
  test(`manifests refuses --set ${set} with the reason`, async () => {
    const { code, out, err } = await run(['manifests', '--set', set]);
    assert.deepEqual([code, out], [2, ''], err);
    assert.match(err, message);
  });

test('manifests names the file of an invalid value, and leaves fields of Kubernetes unchecked', async (t) => {
  const file = `${folder(t)}/values.yaml`;
  writeFileSync(file, 'pools: [{lan: [10.0.0.0/24]}]\n');
  const { code, err } = await run(['manifests', '--values', file]);
  assert.equal(code, 2);
  assert.match(err, /--values \/.*values\.yaml: pools: expected a mapping/);
  writeFileSync(file, 'pools:\n\tlan: a\n');
  const why = 'Tabs are not allowed as indentation at line 2, column 1';
  const broken = `vipward manifests: --values ${file}: ${why}\n`;
  assert.deepEqual(await run(['manifests', '--values', file]), { code: 2, out: '', err: broken });
  const free = { resources: { limits: { any: [1] } }, updateStrategy: { a: 1 }, podAnnotations: { b: 'c' } };
  writeFileSync(file, JSON.stringify({ agent: { ...free, interface: null }, monitoring: null }));
  assert.equal((await run(['manifests', '--values', file])).code, 0);
});

test('manifests leaves out a default that null removes, such as the limits of an agent', async () => {
  const removed = ['resources', 'nodeSelector', 'tolerations'];
  const set = removed.map((name) => `agent.${name}=null`).join(',');
  const { code, out, err } = await run(['manifests', 'agent', '-o', 'json', '--set', set]);
  assert.equal(code, 0, err);
  const { items } = JSON.parse(out) as { items: { kind: string; spec: { template: { spec: Pod } } }[] };
  const pod = items.find(({ kind }) => kind === 'DaemonSet')?.spec.template.spec;
  assert.deepEqual([pod?.nodeSelector, pod?.tolerations, pod?.containers[0]?.resources], [null, null, null]);
});

interface Pod {
  readonly nodeSelector: unknown;
  readonly tolerations: unknown;
  readonly containers: readonly { readonly resources: unknown }[];
}

test('every keyword of the schema is checked, and the defaults meet the schema', () => {
  const path = fileURLToPath(new URL('../../deploy/chart/values.schema.json', import.meta.url));
  const unchecked = (schema: object): string[] =>
    Object.entries(schema).flatMap(([keyword, value]) => {
      if (keyword === 'properties') return Object.values(value as Record<string, object>).flatMap(unchecked);
      if (!keywords.includes(keyword)) return [keyword];
      return typeof value === 'object' && !Array.isArray(value) ? unchecked(value as object) : [];
    });
  assert.deepEqual(unchecked(JSON.parse(readFileSync(path, 'utf8')) as object), ['$schema', 'title']);
  checkValue(defaultValues(), valuesSchema(), { where: 'values.yaml', path: '' });
});
