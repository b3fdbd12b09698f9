// The names of VirtualIP objects, and the conditions of their status.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  cutVirtualIp,
  saysAlready,
  type VirtualIpStatus,
  virtualIpName,
  virtualIpStatus,
} from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import { formatAddress, parseAddress } from '../../../../src/state/address.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';

test('the name of a VirtualIP is its address with every group written out, and is unique', () => {
  equal(virtualIpName(parseAddress('fd77::100')), 'fd77-0-0-0-0-0-0-100');
  equal(virtualIpName(parseAddress('::1')), '0-0-0-0-0-0-0-1');
  equal(virtualIpName(parseAddress('10.77.0.100')), '10.77.0.100');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const name = virtualIpName(formatAddress(bytes));
      equal(parseAddress(name.replaceAll('-', ':')), formatAddress(bytes));
    }),
  );
});

const [address, services] = ['10.77.0.100', ['demo/web', 'demo/api'].map(parseServiceKey)];
const serving = { node: 'n1', term: { generation: 2, n: 3 }, state: 'serving', reason: 'Announced' } as const;

/** The record in the API server with this status, written at that generation. */
function recordWith(status: object, generation: number) {
  const metadata = { name: address, uid: 'u', generation };
  const record = cutVirtualIp({ metadata, spec: { address }, status });
  if (record === null) throw new TypeError('no record');
  return record;
}

/** The conditions of a status as rows of type, status, time, generation and reason. */
function rows({ conditions }: VirtualIpStatus) {
  return conditions.map(({ type, status, lastTransitionTime, observedGeneration, reason }) => {
    return [type, status, lastTransitionTime, observedGeneration, reason];
  });
}

test('a status names the node, the term and all Services, and is Ready while it serves', () => {
  const first = virtualIpStatus({ ...serving, message: '' }, services, recordWith({}, 1), 'noon');
  const { node, term, state, services: text } = first;
  deepEqual([node, term, state, text], ['n1', serving.term, 'serving', 'demo/web, demo/api']);
  deepEqual(rows(first), [
    ['Ready', 'True', 'noon', 1, 'Announced'],
    ['Conflict', 'False', 'noon', 1, 'Announced'],
  ]);
});

test('a condition keeps its time until its status changes, and names the generation that it is about', () => {
  const first = virtualIpStatus({ ...serving, message: '' }, services, recordWith({}, 1), 'noon');
  const same = virtualIpStatus({ ...serving, message: '' }, services, recordWith(first, 1), 'one');
  deepEqual([saysAlready(recordWith(first, 1), same), saysAlready(recordWith(first, 2), same)], [true, true]);
  const next = virtualIpStatus({ ...serving, message: '' }, services, recordWith(first, 2), 'one');
  equal(saysAlready(recordWith(first, 2), next), false, 'spec.node was changed');
  const taken = { ...serving, state: 'refused', reason: 'AddressConflict', message: 'a MAC' } as const;
  deepEqual(rows(virtualIpStatus(taken, services, recordWith(next, 2), 'two')), [
    ['Ready', 'False', 'two', 2, 'AddressConflict'],
    ['Conflict', 'True', 'two', 2, 'AddressConflict'],
  ]);
  const late = { ...serving, state: 'pending', reason: 'Allocated', message: '' } as const;
  deepEqual(rows(virtualIpStatus(late, services, recordWith(next, 3), 'two')), [
    ['Ready', 'False', 'two', 3, 'Allocated'],
    ['Conflict', 'False', 'noon', 3, 'Allocated'],
  ]);
});
