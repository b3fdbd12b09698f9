// A Service with an invalid field is served with less than it declares, and never with more.
import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { compileVip } from '../../../../src/controller/compile.ts';
import type { EventDraft } from '../../../../src/controller/sources/kubernetes/event-object.ts';
import { ServiceEvents } from '../../../../src/controller/sources/kubernetes/service-events.ts';
import { ServiceObjects } from '../../../../src/controller/sources/kubernetes/service-objects.ts';
import { AddressError, parseLegacyPrefix } from '../../../../src/state/address.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';
import { serviceObject } from '../../fixture.ts';
import { ruling, vip } from '../../ruling.ts';
import { cutService } from './cut-service.ts';

const olderName = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function entryOf(spec: object, annotations: Readonly<Record<string, string>> = {}) {
  const object = serviceObject('web-0', { spec, annotations }) as { metadata: object };
  return cutService({ ...object, metadata: { ...object.metadata, uid: 'u' } });
}

/** The sources and ports of a Service, and the error of what could not be read. */
function readingOf(...given: Parameters<typeof entryOf>) {
  const entry = entryOf(...given);
  if (entry.kind !== 'service') throw new TypeError(entry.kind);
  const { service, wrong } = entry;
  return { sources: service.sources, ports: service.ports.map(({ port }) => port), service, wrong };
}

test('a source range is read as Kubernetes reads it, in the older forms too', () => {
  const older: Readonly<Record<string, string>> = {
    '10.1.2.3/8': '10.0.0.0/8',
    '010.0.0.0/8': '10.0.0.0/8',
    '10.00.000.0/08': '10.0.0.0/8',
    '0.0.0.0/0': '0.0.0.0/0',
    '192.168.010.001/0032': '192.168.10.1/32',
    '::ffff:10.0.0.0/104': '10.0.0.0/8',
    '::ffff:010.1.2.3/0128': '10.1.2.3/32',
    '0:0:0:0:0:FFFF:0a01:0203/112': '10.1.0.0/16',
    '::ffff:0:0/96': '0.0.0.0/0',
    // With fewer bits the IPv4-mapped prefix is masked away, and the range is IPv6.
    '::ffff:10.0.0.0/90': '::ffc0:0:0/90',
    '::/0': '::/0',
    'fd00:00001::/064': 'fd00:1::/64',
  };
  for (const [text, range] of Object.entries(older)) equal(parseLegacyPrefix(text), range, text);
  const wrong = ['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/+8', '10.0.0.0/8/8', '/8'];
  for (const text of [...wrong, '10.0.0/8', '0x10.0.0.0/8', '10.0.0.0256/8', '::ffff:10.0.0.0/129', ':::/8'])
    throws(() => parseLegacyPrefix(text), AddressError, text);
  const spec = { loadBalancerSourceRanges: ['010.0.0.0/8', ' 10.0.0.0/08', '::ffff:192.0.2.0/120'] };
  deepEqual([readingOf(spec).sources, readingOf(spec).wrong], [['10.0.0.0/8', '192.0.2.0/24'], null]);
  deepEqual(readingOf({}, { [olderName]: '010.0.0.0/8, ::ffff:192.0.2.0/120' }).sources?.length, 2);
});

test('a Service with invalid source ranges admits no source, and keeps its address', () => {
  const open = { 'vipward.io/only-service-ports': 'false', 'vipward.io/addresses': '10.77.0.150' };
  const { sources, ports, service, wrong } = readingOf({ loadBalancerSourceRanges: ['10.0.0.0/99'] }, open);
  deepEqual([sources, ports, service.onlyServicePorts, service.refusal], [[], [80], true, null]);
  deepEqual(service.addresses, ['10.77.0.150']);
  match(
    wrong ?? '',
    /^spec\.loadBalancerSourceRanges\[0\]: expected ADDRESS\/LENGTH, got "10\.0\.0\.0\/99"$/,
  );
  deepEqual(readingOf({}, { [olderName]: '10.0.0.0' }).sources, []);
});

test('a Service with an invalid field is filtered even if VIPs are not by default', () => {
  const compiled = (spec: object, annotations: Readonly<Record<string, string>> = {}) => {
    const { filtered, ports } = compileVip(vip, [readingOf(spec, annotations).service], false).vip;
    return [filtered, ports.map(({ sources }) => sources)];
  };
  const [range, flag] = ['10.0.0.0/8', 'vipward.io/only-service-ports'];
  deepEqual(compiled({ loadBalancerSourceRanges: [range] }), [false, [[range]]]);
  deepEqual(compiled({ loadBalancerSourceRanges: [range, '10.0.0.0/99'] }), [true, [[]]]);
  deepEqual(compiled({ externalTrafficPolicy: 'Rack' }), [true, [[]]]);
  for (const flags of [
    { 'vipward.io/egress': 'yes' },
    { [flag]: 'yes' },
    { [flag]: 'true', 'vipward.io/egress': '1' },
  ])
    deepEqual(compiled({ loadBalancerSourceRanges: [range] }, flags), [true, [[range]]]);
});

test('a Service with unknown values keeps what is known, and admits no source', () => {
  const ports = [{ port: 80 }, { port: 90, protocol: 'DCCP' }, 7];
  const spec = { ports, ipFamilies: ['IPv9'], externalTrafficPolicy: 'Rack', loadBalancerIP: '10.77.0.151' };
  const { sources, service, wrong, ...more } = readingOf(spec);
  deepEqual([sources, more.ports, service.addresses, service.refusal], [[], [80], ['10.77.0.151'], null]);
  match(wrong ?? '', /^spec\.ports\[1\]\.protocol/);
  // A Service of another class does not become ours by it.
  equal(entryOf({ ports, loadBalancerClass: 'example.com/lb' }).kind, 'ignored');
});

test('known IP families and policies of a Service stay, even if others are unknown', () => {
  const words = { ports: [{ port: 80 }, 7], ipFamilies: ['IPv6'], externalTrafficPolicy: 'Local' };
  const kept = (more: object) => {
    const { service, sources } = readingOf({ ...words, ...more });
    deepEqual(sources, []);
    return [service.wish.families, service.wish.policy, service.trafficPolicy];
  };
  deepEqual(kept({}), [[6], 'SingleStack', 'Local']);
  deepEqual(kept({ externalTrafficPolicy: 'Rack' }), [[6], 'SingleStack', 'Cluster']);
  const both = ['IPv4', 'IPv6'];
  deepEqual(kept({ ipFamilies: ['IPv9'], ipFamilyPolicy: 'PreferDualStack' }), [
    [],
    'PreferDualStack',
    'Local',
  ]);
  deepEqual(kept({ ipFamilies: both, ipFamilyPolicy: 'Most' }), [[4, 6], 'RequireDualStack', 'Local']);
  deepEqual(kept({ ipFamilies: both, ipFamilyPolicy: 'SingleStack' }), [[4, 6], 'RequireDualStack', 'Local']);
});

test('a Service with an invalid field gets one event, whether it was valid before or not', () => {
  const key = parseServiceKey('demo/web-0');
  const { controller } = ruling();
  const catalog = new ServiceObjects();
  const said: EventDraft[] = [];
  const say = (serviceEvents: EventDraft) => void said.push(serviceEvents);
  const serviceEvents = new ServiceEvents({ controller, catalog, say, wasRecorded: () => true });
  const follow = (spec: object) => {
    const changes = catalog.apply({ set: new Map([[key, entryOf(spec)]]), remove: [] });
    if (controller.isPublished) controller.apply(changes);
    else controller.publish(changes);
    serviceEvents.look(key);
    const told = said.splice(0).map(({ type, reason, regarding }) => `${type} ${reason} ${regarding.uid}`);
    return [controller.rules.get(vip)?.ports[0]?.sources, ...told];
  };
  const wrong = { loadBalancerSourceRanges: ['10.0.0.0/99'] };
  deepEqual(follow(wrong), [[], 'Warning NotSupported u']);
  deepEqual(follow(wrong), [[]]);
  deepEqual(follow({ loadBalancerSourceRanges: ['10.0.0.0/9'] }), [['10.0.0.0/9']]);
  deepEqual(follow(wrong), [['10.0.0.0/9'], 'Warning NotSupported u']);
});

test('a misspelt vipward.io annotation gets one event, and the rest of the Service is served', () => {
  const key = parseServiceKey('demo/web-0');
  const { controller } = ruling();
  const catalog = new ServiceObjects();
  const said: EventDraft[] = [];
  const say = (serviceEvents: EventDraft) => void said.push(serviceEvents);
  const serviceEvents = new ServiceEvents({ controller, catalog, say, wasRecorded: () => true });
  controller.publish({ set: [], remove: [] });
  const follow = (annotations: Readonly<Record<string, string>>) => {
    controller.apply(catalog.apply({ set: new Map([[key, entryOf({}, annotations)]]), remove: [] }));
    serviceEvents.look(key);
    const told = said.splice(0).map(({ reason, note }) => `${reason} ${note.includes('only-service-port"')}`);
    return [controller.rules.get(vip)?.egress, catalog.problems().length, ...told];
  };
  const right = { 'vipward.io/egress': 'true' };
  const misspelt = { ...right, 'vipward.io/only-service-port': 'false' };
  deepEqual(follow(misspelt), [true, 1, 'NotSupported true']);
  deepEqual(follow(misspelt), [true, 1]);
  deepEqual(follow(right), [true, 0]);
  deepEqual(follow(misspelt), [true, 1, 'NotSupported true']);
});
