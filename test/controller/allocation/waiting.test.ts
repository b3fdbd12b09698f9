// Services that lack an address, or the second of two, cost nothing while none that they may get is free.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Allocator } from '../../../src/controller/allocate.ts';
import type { Outcome } from '../../../src/controller/allocation/families.ts';
import { FreeAddresses } from '../../../src/controller/allocation/free-addresses.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Users } from '../../../src/controller/allocation/users.ts';
import { Waiting } from '../../../src/controller/allocation/waiting.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { serviceObject } from '../fixture.ts';

class CountingAllocator extends Allocator {
  asked: string[] = [];

  override outcomeOf(service: ServiceManifest): Outcome {
    this.asked.push(service.key);
    return super.outcomeOf(service);
  }
}

function manifest(
  name: string,
  annotations: Record<string, string> = {},
  spec: object = { ipFamilyPolicy: 'PreferDualStack' },
): ServiceManifest {
  const [service] = readDocument(serviceObject(name, { spec, annotations })).services;
  ok(service !== undefined);
  return service;
}

test('a freed address asks only the Services that may get an address they lack', () => {
  const allocator = new CountingAllocator(parsePools(['p=10.77.0.0/24', 'fd77::100']), new Map());
  const [first, second, ...others] = ['a', 'b', 'c', 'd', 'e'].map((name) => manifest(name));
  const sharingKey = { 'vipward.io/sharing-key': 'k' };
  const dualStack = (port: number) => ({ ipFamilyPolicy: 'PreferDualStack', ports: [{ port }] });
  const sharing = manifest('f', sharingKey, dualStack(80));
  ok(first !== undefined && second !== undefined);
  allocator.apply({ set: [first, second, ...others, sharing], remove: [] });
  const asked = (remove: ServiceManifest): readonly string[] => {
    allocator.asked = [];
    allocator.apply({ set: [], remove: [remove.key] });
    return [...new Set(allocator.asked)];
  };
  deepEqual(asked(second), []);
  // Its IPv6 address goes to the first of the others, and then none is free.
  deepEqual(asked(first), ['demo/c']);
  equal(allocator.addressesOf(manifest('c').key).at(1), 'fd77::100');
  allocator.apply({ set: [manifest('c', sharingKey, dualStack(81))], remove: [] });
  equal(allocator.addressesOf(sharing.key).at(1), 'fd77::100');
});

test('a freed address asks only as many refused Services as it can serve, the oldest first', () => {
  const few = parsePools(['p=10.77.0.100-10.77.0.101', 'q=10.78.0.100']);
  const allocator = new CountingAllocator(few, new Map());
  const single = (name: string, annotations: Record<string, string> = {}) => {
    return manifest(name, annotations, { ipFamilyPolicy: 'SingleStack' });
  };
  const ofQ = { 'vipward.io/pool': 'q' };
  const [a, b, c] = [single('a'), single('b'), single('c', ofQ)];
  const waiting = [single('d'), single('e', ofQ), single('f'), single('g'), single('h', ofQ)];
  allocator.apply({ set: [a, b, c, ...waiting], remove: [] });
  equal(allocator.refusals.size, waiting.length);
  const asked = (remove: ServiceManifest): readonly string[] => {
    allocator.asked = [];
    allocator.takeRefused();
    allocator.apply({ set: [], remove: [remove.key] });
    deepEqual([...allocator.takeRefused()], []);
    return allocator.asked;
  };
  deepEqual(asked(b), ['demo/d']);
  deepEqual(asked(c), ['demo/e']);
  deepEqual(asked(a), ['demo/f']);
  deepEqual([...allocator.refusals.keys()], ['demo/g', 'demo/h']);
});

test('a refused Service asks when the address that it had comes free, though an absent node has it', () => {
  const allocator = new CountingAllocator(parsePools(['p=10.77.0.100-10.77.0.101']), new Map());
  const wants = { 'vipward.io/addresses': '10.77.0.100' };
  const [had, taker, other] = [manifest('b'), manifest('a', wants), manifest('c')];
  allocator.apply({ set: [had, other], remove: [] });
  // A Service that cannot be served now keeps a claim to its address, and loses it to another one.
  const refusal = { reason: 'NoPorts', message: '' } as const;
  allocator.apply({ set: [{ ...had, refusal }], remove: [] });
  allocator.apply({ set: [taker], remove: [] });
  allocator.apply({ set: [had], remove: [] });
  equal(allocator.refusals.get(had.key)?.reason, 'PoolExhausted');
  allocator.isHeld = (address) => address === '10.77.0.100';
  allocator.apply({ set: [], remove: [taker.key] });
  deepEqual(allocator.addressesOf(had.key), ['10.77.0.100']);
});

/** A Service of its own namespace that asks for an address. */
function asking(name: string, address: string, key?: string): ServiceManifest {
  const annotations = { 'vipward.io/addresses': address, ...(key && { 'vipward.io/sharing-key': key }) };
  const [service] = readDocument(serviceObject(name, { namespace: name, annotations })).services;
  ok(service !== undefined);
  return service;
}

test('a freed address asks only the Services that are refused for that address', () => {
  const allocator = new CountingAllocator(parsePools(['p=10.77.0.0/24']), new Map());
  const [one, two] = ['10.77.0.1', '10.77.0.2'];
  const set = [asking('a', one), asking('b', two), asking('c', one), asking('d', one), asking('e', two)];
  allocator.apply({ set, remove: [] });
  deepEqual([...allocator.refusals.keys()], ['c/c', 'd/d', 'e/e']);
  const asked = (...remove: string[]): readonly string[] => {
    allocator.asked = [];
    allocator.apply({ set: [], remove: remove as ServiceKey[] });
    return [...new Set(allocator.asked)];
  };
  deepEqual(asked('b/b'), ['e/e']);
  deepEqual(asked('a/a'), ['c/c', 'd/d']);
  deepEqual(asked('e/e'), []);
  deepEqual([...allocator.refusals.keys()], ['d/d']);
});

test('a Service is asked when those that do not share its address leave, or share it', () => {
  const allocator = new CountingAllocator(parsePools(['p=10.77.0.0/24']), new Map());
  const set = (...services: ServiceManifest[]) => allocator.apply({ set: services, remove: [] });
  const [mine, theirs, joins] = ['a', 'b', 'c'].map((name) => asking(name, '10.77.0.1', 'k'));
  ok(mine !== undefined && theirs !== undefined && joins !== undefined);
  const bare = { ...joins, namespace: mine.namespace, sharingKey: null };
  set(mine, theirs, bare);
  equal(allocator.refusals.get(bare.key)?.reason, 'AddressTaken');
  // Another Service has the address still: it does not come free.
  allocator.apply({ set: [], remove: [theirs.key] });
  equal(allocator.refusals.size, 0);
  set(theirs);
  equal(allocator.refusals.get(theirs.key)?.reason, 'AddressTaken');
  set(joins);
  equal(allocator.refusals.size, 0);
});

test('a Service gets an address that it may share once another has left it a port', () => {
  const allocator = new Allocator(parsePools(['p=10.77.0.1']), new Map());
  const set = (...services: ServiceManifest[]) => allocator.apply({ set: services, remove: [] });
  const of = (name: string, port: number, key: string | null = 'k') => {
    const annotations =
      key === null ? { 'vipward.io/addresses': '10.77.0.1' } : { 'vipward.io/sharing-key': key };
    return manifest(name, annotations, { ports: [{ port }] });
  };
  set(of('keyed', 80));
  set(of('bare', 81, null), of('waits', 80), of('other', 81));
  deepEqual([...allocator.refusals.keys()], ['demo/other', 'demo/waits']);
  set(of('keyed', 443));
  deepEqual([...allocator.refusals.keys()], ['demo/other']);
  set(of('bare', 82, null));
  equal(allocator.refusals.size, 0);
});

test('an address that a waiting Service gets is at once shared with those that wait to share it', () => {
  const allocator = new Allocator(parsePools(['p=10.77.0.1']), new Map());
  const holder = asking('a', '10.77.0.1');
  const shares = asking('b', '10.77.0.1', 'k');
  const waits = { ...asking('c', '10.77.0.1', 'k'), addresses: [], ports: [] };
  allocator.apply({ set: [holder, shares, waits], remove: [] });
  equal(allocator.refusals.size, 2);
  // Unasked it is given to none.
  allocator.isHeld = () => true;
  allocator.apply({ set: [], remove: [holder.key] });
  deepEqual(allocator.addressesOf(waits.key), ['10.77.0.1']);
});

function waitingFor(pool: string): Waiting {
  const pools = parsePools([`p=${pool}`]);
  const free = new FreeAddresses(pools, () => false);
  return new Waiting({ pools, free, users: new Users(), usersOf: () => [] });
}

const refusal = { reason: 'AddressTaken', message: '' } as const;
const [one, two] = ['fd77::1', 'fd77::2'].map(parseAddress) as [Address, Address];

test('a Service waits for what it was refused for last', () => {
  const waiting = waitingFor('10.77.0.0/24');
  const service = manifest('a');
  const due = (...loose: Address[]) => {
    waiting.loosen(loose);
    return [...waiting.all(null)];
  };
  waiting.refused(service, { refusal, lacks: 4 }, []);
  deepEqual([[...waiting.all()], due()], [[service.key], []]);
  waiting.refused(service, { refusal, taken: one }, []);
  deepEqual([[...waiting.all()], due(one), due()], [[], [service.key], []]);
  waiting.refused(service, { refusal, taken: two }, []);
  deepEqual([due(one), due(two)], [[], [service.key]]);
  waiting.refused(service, { refusal, lacks: 6 }, []);
  deepEqual(due(one, two), []);
});

test('nothing is kept of a Service that is gone', () => {
  const waiting = waitingFor('fd77::/120');
  const service = manifest('a');
  waiting.given(service, [parseAddress('10.77.0.1')]);
  deepEqual([...waiting.all()], [service.key]);
  waiting.forget(service.key);
  deepEqual([...waiting.all()], []);
  waiting.refused(service, { refusal, taken: one }, []);
  waiting.forget(service.key);
  waiting.loosen([one]);
  deepEqual([[...waiting.all()], waiting.refusals.size], [[], 0]);
});
