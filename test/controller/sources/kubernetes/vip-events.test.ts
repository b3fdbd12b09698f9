// Events about a VIP: which change of its record is told, and to which Services.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { eventsOf } from '../../../../src/controller/sources/kubernetes/vip-events.ts';
import {
  cutVirtualIp,
  type ReportedState,
  virtualIpStatus,
} from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';

const address = '10.77.0.100';
const services = ['demo/web', 'demo/api'].map(parseServiceKey);
const term = { generation: 1, n: 1 };
const on = (node: string, state: ReportedState['state'], reason: string): ReportedState => {
  return { node, term, state, reason, message: `because of ${reason}` };
};

function record(status: object) {
  const read = cutVirtualIp({
    metadata: { name: address, uid: 'r', generation: 1 },
    spec: { address },
    status,
  });
  if (read === null) throw new TypeError('no record');
  return read;
}

/** The Events when a record changes from one state to the next; `null` is a record without a status. */
function told(from: ReportedState | null, to: ReportedState) {
  const first = record({});
  const before = from === null ? first : record(virtualIpStatus(from, services, first, 'noon'));
  const status = virtualIpStatus(to, services, before, 'one');
  return eventsOf({ before, status, services, uidOf: () => 'u' });
}

const words = (...given: Parameters<typeof told>) =>
  told(...given).map(({ regarding, type, reason, note }) => `${regarding.name} ${type} ${reason}: ${note}`);

test('a VIP that serves on another node is an Event Moved of each of its Services', () => {
  const serving = on('n1', 'serving', 'Announced');
  const note = `Normal Moved: ${address} moved from n1 to n2`;
  const moved = on('n2', 'serving', 'Announced');
  deepEqual(words(serving, moved), [`web ${note}`, `api ${note}`]);
  deepEqual(words(on('n2', 'moving', 'Moved'), moved).length, 2, 'the record named the new node meanwhile');
  deepEqual(words(serving, on('n2', 'moving', 'Moved')), [], 'not there yet');
  deepEqual([words(null, serving), words(serving, serving)], [[], []]);
  const [first] = told(serving, moved);
  deepEqual(
    [first?.regarding, first?.related],
    [
      { apiVersion: 'v1', kind: 'Service', namespace: 'demo', name: 'web', uid: 'u' },
      { apiVersion: 'vipward.io/v1alpha1', kind: 'VirtualIP', name: address, uid: 'r' },
    ],
  );
});

test('a VIP that is not served is a Warning when its reason changes, and not while it stays', () => {
  const taken = on('n1', 'refused', 'AddressConflict');
  const note = `Warning AddressConflict: ${address}: because of AddressConflict`;
  deepEqual(words(on('n1', 'serving', 'Announced'), taken), [`web ${note}`, `api ${note}`]);
  deepEqual(words(taken, { ...taken, message: 'another MAC' }), []);
  deepEqual(words(taken, on('n1', 'refused', 'KernelRefused')).length, 2);
  deepEqual(words(taken, on('n1', 'pending', 'Allocated')), []);
});
