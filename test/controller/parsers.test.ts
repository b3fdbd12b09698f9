// Parsing the input of a controller ends in a value or in the error class of that parser, whatever the input.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { readRecords, StateError, stateFile, writeRecords } from '../../src/controller/records/records.ts';
import { readAnnotations } from '../../src/controller/sources/annotations.ts';
import { DocumentError, parseFile } from '../../src/controller/sources/documents.ts';
import type { Mapping } from '../../src/controller/sources/fields.ts';
import { FieldError } from '../../src/controller/sources/fields.ts';
import { readLease } from '../../src/controller/sources/kubernetes/lease-record.ts';
import { cutVirtualIp, recordsOf } from '../../src/controller/sources/kubernetes/virtual-ip.ts';
import { parseListPage, parseWatchEvent } from '../../src/controller/sources/kubernetes/watch-event.ts';
import { readTokens } from '../../src/controller/stream/credentials.ts';
import { UsageError } from '../../src/process/usage.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { changed, endsWell, garbled } from '../hostile-values.ts';
import { configOf, folder, serviceObject } from './fixture.ts';
import { cutService } from './sources/kubernetes/cut-service.ts';

const runs = { numRuns: 1000 };
const fewer = { numRuns: 150 };

const full = {
  ...serviceObject('web', {
    ports: [80, '53/UDP'],
    annotations: { 'vipward.io/addresses': '10.77.0.100,fd77::100', 'vipward.io/egress': 'true' },
    created: '2026-01-01T00:00:00Z',
    spec: {
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'PreferDualStack',
      externalTrafficPolicy: 'Local',
      loadBalancerClass: 'vipward.io/vip',
      loadBalancerIP: '10.77.0.9',
    },
  }),
  status: { loadBalancer: { ingress: [{ ip: '10.77.0.100', ipMode: 'VIP' }, { hostname: 'x' }] } },
};
const list = { apiVersion: 'v1', kind: 'List', items: [full, serviceObject('other')] };

test('garbled YAML or JSON ends in documents or a DocumentError', async () => {
  const yaml = garbled(stringify(full), `${stringify(full)}---\n${stringify(list)}`);
  const property = fc.asyncProperty(yaml, fc.boolean(), async (text, isJson) => {
    await endsWell(() => parseFile(text, isJson, new Map()), DocumentError);
  });
  await fc.assert(property, runs);
  const json = fc.asyncProperty(garbled(JSON.stringify(list)), async (text) => {
    await endsWell(() => parseFile(text, true, new Map()), DocumentError);
  });
  await fc.assert(json, runs);
});

test('changed Services end in documents or a DocumentError', async () => {
  const property = fc.asyncProperty(changed(full, list), async (value) => {
    await endsWell(() => parseFile(JSON.stringify(value), true, new Map()), DocumentError);
  });
  await fc.assert(property, runs);
});

test('any annotations and any loadBalancerIP end in values or a FieldError', async () => {
  const name = fc.constantFrom(
    ...['vipward.io/addresses', 'vipward.io/pool', 'vipward.io/sharing-key', 'vipward.io/delivery'],
    ...['vipward.io/egress', 'vipward.io/only-service-ports', 'kube-vip.io/ignore-service-security'],
    ...['kube-vip.io/loadbalancerIPs', 'metallb.io/loadBalancerIPs', 'kube-vip.io/egress', '__proto__'],
  );
  const text = fc.oneof(fc.string(), fc.constantFrom('true', '10.0.0.1,,fd00::1', '0.0.0.0', ',', '1.2.3'));
  const value = fc.oneof(fc.dictionary(name, fc.oneof(text, fc.jsonValue())), fc.jsonValue());
  const property = fc.asyncProperty(value, fc.oneof(text, fc.jsonValue()), async (annotations, ip) => {
    await endsWell(() => readAnnotations(annotations, ip), FieldError);
  });
  await fc.assert(property, runs);
});

test('garbled pools and config files end in a config or a UsageError', async (t: TestContext) => {
  const pool = garbled('p=10.0.0.0/24', 'fd00::/64', 'q=10.0.0.1-10.0.0.9', 'r=fd00::1-fd00::9');
  const pools = fc.asyncProperty(fc.array(pool, { maxLength: 3 }), async (items) => {
    await endsWell(() => parsePools(items), UsageError);
  });
  await fc.assert(pools, runs);
  const path = join(folder(t), 'config.yaml');
  const config = {
    services: '/x',
    pool: ['p=10.0.0.0/24'],
    listen: '127.0.0.1:0',
    massRemoval: 'now',
    insecure: true,
  };
  const text = fc.oneof(
    garbled(stringify(config)),
    changed(config).map((value) => stringify(value)),
  );
  const files = fc.asyncProperty(text, async (content) => {
    writeFileSync(path, content);
    await endsWell(() => configOf(['--config', path]), UsageError);
  });
  await fc.assert(files, fewer);
});

test('any flags of a controller end in a config or a UsageError', async () => {
  const words = [
    ...[
      '--services',
      'x',
      '--kubernetes',
      '--pool',
      'a=10.0.0.0/24',
      '--listen',
      '127.0.0.1:1',
      '--identity',
    ],
    ...['--advertise', 'x:1', '--allow-opt-out', 'none', '--agent-service-account', 'a/b', '--insecure'],
    ...['--watch-namespaces=a,b', '--load-balancer-class', 'x/y', '--leader-elect-lease-duration', '15s'],
    ...['--only-allow-traffic-service-ports=true', '--leader-elect-resource-name', '--mass-removal', 'now'],
  ];
  const word = fc.oneof(garbled(...words), fc.constantFrom(...words, '--', '-', '--=', ''));
  const property = fc.asyncProperty(fc.array(word, { maxLength: 6 }), (argv) =>
    endsWell(() => configOf(argv), UsageError),
  );
  await fc.assert(property, { numRuns: 2000 });
});

test('a garbled token file ends in tokens or a UsageError', async (t: TestContext) => {
  const path = join(folder(t), 'tokens');
  const property = fc.asyncProperty(garbled('n1 secret-1\noperator secret-0\n# more\n'), async (text) => {
    writeFileSync(path, text);
    await endsWell(() => readTokens(path), UsageError);
  });
  await fc.assert(property, fewer);
});

test('garbled records end in records or a StateError', async (t: TestContext) => {
  const dir = folder(t);
  const records = {
    cluster: 'c',
    generation: 7,
    drained: ['n2'],
    allocations: new Map([['demo/web' as ServiceKey, ['10.0.0.1' as Address]]]),
    former: new Map([['demo/api' as ServiceKey, ['fd00::1' as Address]]]),
    owners: new Map([['10.0.0.1' as Address, { node: 'n1', term: { generation: 7, n: 1 } }]]),
    unheld: new Set<Address>(),
  };
  await writeRecords(dir, records);
  const path = stateFile(dir);
  const text = JSON.stringify({
    layout: 1,
    cluster: 'c',
    generation: 7,
    drained: ['n2'],
    former: {},
    allocations: { 'demo/web': ['10.0.0.1'] },
    owners: { '10.0.0.1': { node: 'n1', generation: 7, n: 1 } },
  });
  const content = fc.oneof(
    garbled(text),
    changed(JSON.parse(text)).map((value) => JSON.stringify(value)),
  );
  const property = fc.asyncProperty(content, async (written) => {
    writeFileSync(path, written);
    await endsWell(() => readRecords(dir), StateError);
  });
  await fc.assert(property, fewer);
});

test('changed objects of an API server end in values, a FieldError or a SyntaxError', async () => {
  const metadata = { name: '10-0-0-1', uid: 'u', generation: 2, resourceVersion: '5' };
  const virtualIp = {
    metadata,
    spec: { address: '10.0.0.1', pool: 'p', services: [{ namespace: 'demo', name: 'web', uid: 'x' }] },
    status: { node: 'n1', term: { generation: 1, n: 2 }, state: 'serving', conditions: [{ type: 'Ready' }] },
  };
  const lease = {
    metadata: { ...metadata, annotations: { 'vipward.io/address': 'x:1' } },
    spec: { holderIdentity: 'c1', leaseTransitions: 4, leaseDurationSeconds: 15, renewTime: 'now' },
  };
  const page = { metadata: { resourceVersion: '5', continue: '' }, items: [full, virtualIp] };
  const event = { type: 'ADDED', object: { ...full, metadata } };
  const isObject = (value: unknown): value is Mapping => typeof value === 'object' && value !== null;
  const property = fc.asyncProperty(changed(full, virtualIp, lease, page, event), async (value) => {
    await endsWell(() => parseWatchEvent(JSON.stringify(value)), FieldError, SyntaxError);
    await endsWell(() => parseListPage(value), FieldError);
    await endsWell(() => readLease(value), FieldError);
    if (!isObject(value)) return;
    await endsWell(() => cutService(value), FieldError);
    const record = cutVirtualIp(value);
    if (record !== null) await endsWell(() => recordsOf([record], () => ''));
  });
  await fc.assert(property, { numRuns: 3000 });
  const statuses = fc.asyncProperty(changed(full.status), async (status) => {
    await endsWell(() => cutService({ ...full, status }));
  });
  await fc.assert(statuses, runs);
});
