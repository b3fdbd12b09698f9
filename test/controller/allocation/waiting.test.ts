// Services that prefer two address families and have one cost nothing while no address of the other is free.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Allocator } from '../../../src/controller/allocate.ts';
import type { Outcome } from '../../../src/controller/allocation/families.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Waiting } from '../../../src/controller/allocation/waiting.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { serviceObject } from '../fixture.ts';

class CountingAllocator extends Allocator {
  asked: string[] = [];

  override outcomeOf(service: ServiceManifest): Outcome {
    this.asked.push(service.key);
    return super.outcomeOf(service);
  }
}

function manifest(name: string, annotations: Record<string, string> = {}): ServiceManifest {
  const spec = { ipFamilyPolicy: 'PreferDualStack' };
  const [service] = readDocument(serviceObject(name, { spec, annotations })).services;
  ok(service !== undefined);
  return service;
}

test('a freed address asks only the Services that may get an address they lack', () => {
  const allocator = new CountingAllocator(parsePools(['p=10.77.0.0/24', 'fd77::100']), new Map());
  const [first, second, ...others] = ['a', 'b', 'c', 'd', 'e'].map((name) => manifest(name));
  const sharing = manifest('f', { 'vipward.io/sharing-key': 'k' });
  ok(first !== undefined && second !== undefined);
  allocator.apply({ set: [first, second, ...others, sharing], remove: [] });
  const asked = (remove: ServiceManifest): readonly string[] => {
    allocator.asked = [];
    allocator.apply({ set: [], remove: [remove.key] });
    return [...new Set(allocator.asked)];
  };
  deepEqual(asked(second), ['demo/f']);
  // Its IPv6 address goes to the first of the others, and then none is free.
  deepEqual(asked(first), ['demo/c', 'demo/f']);
  equal(allocator.addressesOf(manifest('c').key).at(1), 'fd77::100');
});

test('nothing is kept of a Service that is gone', () => {
  const waiting = new Waiting(() => true);
  const service = manifest('a');
  waiting.given(service, [parseAddress('10.77.0.1')]);
  deepEqual([...waiting.all()], [service.key]);
  waiting.forget(service.key);
  deepEqual([...waiting.all()], []);
});
