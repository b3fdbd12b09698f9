// Valid and invalid manifests: each error names its field.

import { deepEqual, equal, match, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Catalog } from '../../../src/controller/sources/catalog.ts';
import { FieldError } from '../../../src/controller/sources/fields.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import { serviceObject } from '../fixture.ts';

const only = (value: unknown) => {
  const { services } = readDocument(value);
  ok(services[0] !== undefined && services.length === 1);
  return services[0];
};
const complaint = (value: unknown) => readDocument(value).invalid[0]?.message ?? '';

test('a plain Service has the defaults of Kubernetes and of files', () => {
  const { key, addresses, ports, sources, delivery, egress, onlyServicePorts, refusal } = only(
    serviceObject('web'),
  );
  deepEqual(
    { key, addresses, ports, sources, delivery, egress, onlyServicePorts, refusal },
    {
      key: 'demo/web',
      addresses: [],
      ports: [{ protocol: 'TCP', port: 80 }],
      sources: null,
      delivery: 'host',
      egress: false,
      onlyServicePorts: null,
      refusal: null,
    },
  );
});

test('every invalid field is named, with the expected value', () => {
  const cases: readonly (readonly [spec: object, message: RegExp])[] = [
    [{ ports: [{ port: 0 }] }, /^spec\.ports\[0\]\.port: expected 1-65535, got 0/],
    [{ ports: [{ port: 80 }, { port: 70_000 }] }, /^spec\.ports\[1\]\.port: expected 1-65535, got 70000/],
    [{ ports: [{ port: '80' }] }, /^spec\.ports\[0\]\.port: expected 1-65535, got "80"/],
    [
      { ports: [{ port: 80, protocol: 'ICMP' }] },
      /^spec\.ports\[0\]\.protocol: expected TCP, UDP or SCTP, got "ICMP"/,
    ],
    [{ ports: [{ port: 80 }, { port: 80 }] }, /^spec\.ports\[1\]: TCP 80 is declared twice/],
    [{ ports: 80 }, /^spec\.ports: expected a list, got 80/],
    [
      { loadBalancerSourceRanges: ['10.0.0.0/33'] },
      /^spec\.loadBalancerSourceRanges\[0\]: expected a prefix length/,
    ],
    [
      { loadBalancerSourceRanges: ['10.0.0.1'] },
      /^spec\.loadBalancerSourceRanges\[0\]: expected ADDRESS\/LENGTH/,
    ],
    [{ ipFamilies: ['IPv5'] }, /^spec\.ipFamilies\[0\]: expected IPv4 or IPv6, got "IPv5"/],
    [
      { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'SingleStack' },
      /^spec\.ipFamilyPolicy: SingleStack takes one/,
    ],
    [{ externalTrafficPolicy: 'Here' }, /^spec\.externalTrafficPolicy: expected Cluster or Local/],
    [{ loadBalancerClass: 7 }, /^spec\.loadBalancerClass: expected text, got 7/],
  ];
  for (const [spec, message] of cases) match(complaint(serviceObject('web', { spec })), message);
});

test('an unsupported annotation or field of another product is refused', () => {
  const reasons = (annotations: Record<string, string>) =>
    only(serviceObject('web', { annotations })).refusal?.reason;
  equal(reasons({ 'kube-vip.io/loadbalancerIPs': '0.0.0.0' }), 'NotSupported');
  equal(reasons({ 'metallb.io/loadBalancerIPs': 'web.example.org' }), 'NotSupported');
  equal(reasons({ 'kube-vip.io/egress': 'true' }), 'NotSupported');
  equal(reasons({ 'kube-vip.io/egress': 'false' }), undefined);
  // A Service with our annotation too is being migrated.
  equal(reasons({ 'kube-vip.io/egress': 'true', 'vipward.io/egress': 'false' }), undefined);
  equal(only(serviceObject('web', { spec: { loadBalancerIP: 'dhcp' } })).refusal?.reason, 'NotSupported');
  equal(only(serviceObject('web', { ports: [] })).refusal?.reason, 'NoPorts');
});

test('an unknown vipward.io annotation is a problem by name, and the Service is served', () => {
  const saidOf = (annotations: Record<string, string>) => {
    const catalog = new Catalog();
    const { set } = catalog.update('a.yaml', [readDocument(serviceObject('web', { annotations }))]);
    deepEqual([set.length, set[0]?.refusal, set[0]?.pool], [1, null, annotations['vipward.io/pool'] ?? null]);
    return catalog.problems().map(({ service, message }) => `${service}: ${message}`);
  };
  const [said, ...others] = saidOf({ 'vipward.io/address': '10.77.0.9', 'vipward.io/pool': 'lan' });
  match(said ?? '', /^demo\/web: NotSupported: metadata\.annotations\["vipward\.io\/address"\] is unknown: /);
  match(said ?? '', /is unknown: known are vipward\.io\/addresses, .*, vipward\.io\/only-service-ports$/);
  deepEqual(others, []);
  match(saidOf({ 'vipward.io/a': '', 'vipward.io/b': '' })[0] ?? '', /\/a"\] and 1 more are unknown: /);
  deepEqual(saidOf({ 'vipward.io/pool': 'lan', 'vipward.io/sharing-key': 'a', 'vipward.io/egress': '' }), []);
  const more = { 'vipward.io/addresses': '', 'vipward.io/delivery': 'host' };
  deepEqual(saidOf({ ...more, 'vipward.io/only-service-ports': 'false' }), []);
  deepEqual(saidOf({ 'example.org/vipward.io': '1', 'vipward.example/address': '1' }), []);
});

test('a source range that cannot be read is named where it stands: in the field or in the annotation', () => {
  const name = 'service.beta.kubernetes.io/load-balancer-source-ranges';
  const annotations = { [name]: '10.0.0.0/8,10.0.0.0' };
  const why = (spec: object) =>
    readDocument(serviceObject('web', { annotations, spec })).invalid[0]?.message ?? '';
  const wanted = 'expected ADDRESS/LENGTH, got';
  equal(why({}), `metadata.annotations["${name}"][1]: ${wanted} "10.0.0.0"`);
  const field = ['fd00::'];
  equal(why({ loadBalancerSourceRanges: field }), `spec.loadBalancerSourceRanges[0]: ${wanted} "fd00::"`);
});

test('vipward.io/addresses comes before metallb.io/loadBalancerIPs and spec.loadBalancerIP', () => {
  const spec = { loadBalancerIP: '10.77.0.9' };
  const both = { 'metallb.io/loadBalancerIPs': '10.77.0.8', 'vipward.io/addresses': '10.77.0.7, fd77:0::7' };
  deepEqual(only(serviceObject('web', { spec, annotations: both })).addresses, ['10.77.0.7', 'fd77::7']);
  deepEqual(only(serviceObject('web', { spec })).addresses, ['10.77.0.9']);
});

test('a Service may name eight addresses, and longer texts are refused', () => {
  const names = (count: number, separator = ', ') =>
    Array.from(
      { length: count },
      (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
    ).join(separator);
  const annotated = (text: string) =>
    only(serviceObject('web', { annotations: { 'purelb.io/addresses': text } }));
  equal(annotated(names(9)).refusal?.reason, 'NotSupported');
  match(annotated(names(9)).refusal?.message ?? '', /purelb\.io\/addresses"\]: 9 addresses: name at most 8/);
  deepEqual([annotated(names(8)).addresses.length, annotated(names(8)).refusal], [8, null]);
  // An address that is named twice counts once.
  equal(annotated(`${names(8)}, ${names(8)}`).addresses.length, 8);
  const { addresses, refusal } = only(
    serviceObject('web', { spec: { loadBalancerIP: names(100_000, ',') } }),
  );
  deepEqual([addresses, refusal?.reason], [[], 'NotSupported']);
  match(
    refusal?.message ?? '',
    /^spec\.loadBalancerIP: \d{7} characters: name at most 8 .* 1024 characters$/,
  );
  equal(annotated(`${'0'.repeat(100_000)}, ${names(2)}`).refusal?.reason, 'NotSupported');
});

test('the opt-out annotation of kube-vip is followed, and our own comes before it', () => {
  const theirs = { 'kube-vip.io/ignore-service-security': 'true' };
  equal(only(serviceObject('web', { annotations: theirs })).onlyServicePorts, false);
  const both = { ...theirs, 'vipward.io/only-service-ports': 'true' };
  equal(only(serviceObject('web', { annotations: both })).onlyServicePorts, true);
  match(
    complaint(serviceObject('web', { annotations: { 'vipward.io/egress': 'yes' } })),
    /"vipward\.io\/egress"\]: expected/,
  );
  match(
    complaint(serviceObject('web', { annotations: { 'vipward.io/delivery': 'nat' } })),
    /expected host or forward/,
  );
});

test('a source range is masked, and an empty list admits every source', () => {
  const ranges = (list: string[]) =>
    only(serviceObject('web', { spec: { loadBalancerSourceRanges: list } })).sources;
  deepEqual(ranges(['10.1.2.3/8', ' 10.0.0.0/8', 'fd00::1/16']), ['10.0.0.0/8', 'fd00::/16']);
  equal(ranges([]), null);
});

test('other kinds, types and classes are listed as ignored', () => {
  const other = (spec: object) => readDocument(serviceObject('web', { spec })).ignored;
  deepEqual(readDocument({ kind: 'Deployment' }).ignored, ['Deployment']);
  deepEqual(other({ type: 'NodePort' }), ['Service of type NodePort']);
  deepEqual(other({ loadBalancerClass: 'kube-vip.io/class' }), ['Service of class kube-vip.io/class']);
  equal(
    readDocument(serviceObject('web', { spec: { loadBalancerClass: 'vipward.io/vip' } })).services.length,
    1,
  );
  deepEqual(readDocument({ ...serviceObject('web'), apiVersion: 'serving.knative.dev/v1' }).ignored, [
    'Service',
  ]);
});

test('a List is read as its items, and error paths begin with the item', () => {
  const items = [serviceObject('a'), { kind: 'ConfigMap' }, serviceObject('b', { ports: [0] })];
  const { services, invalid, ignored } = readDocument({ kind: 'List', items });
  deepEqual([services.map(({ key }) => key), ignored], [['demo/a'], ['ConfigMap']]);
  match(invalid[0]?.message ?? '', /^items\[2\]\.spec\.ports\[0\]\.port/);
});

test('a document that is no object or has no valid name is refused whole', () => {
  for (const value of [
    7,
    'text',
    [],
    {},
    { kind: 'Service' },
    { kind: 'Service', metadata: { name: 'A_B' } },
  ]) {
    throws(() => readDocument(value), FieldError);
  }
  deepEqual(readDocument(null).services, []);
});

test('reading any document ends in facts or a FieldError', () => {
  const word = fc.constantFrom(
    'kind',
    'Service',
    'metadata',
    'name',
    'spec',
    'ports',
    'port',
    'type',
    'LoadBalancer',
    'items',
    'List',
    'annotations',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      word,
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('tree'), { maxLength: 3 }),
      tie('object'),
    ),
    object: fc.dictionary(word, tie('tree'), { maxKeys: 5 }),
  }));
  const mutated = fc
    .record({ at: fc.constantFrom('kind', 'metadata', 'spec', 'apiVersion'), value: tree })
    .map(({ at, value }) => {
      return { ...serviceObject('web'), [at]: value };
    });
  const spec = tree.map((value) => ({
    ...serviceObject('web'),
    spec: { type: 'LoadBalancer', ports: value, ipFamilies: value },
  }));
  fc.assert(
    fc.property(fc.oneof(tree, mutated, spec), (value) => {
      try {
        readDocument(value);
      } catch (error) {
        ok(error instanceof FieldError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
