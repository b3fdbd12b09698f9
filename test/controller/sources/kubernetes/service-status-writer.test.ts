// What is written to the status of a Service that is no longer served.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parsePools } from '../../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../../src/controller/controller.ts';
import { noRecords } from '../../../../src/controller/records/records.ts';
import { ApiError } from '../../../../src/controller/sources/kubernetes/client.ts';
import { ServiceObjects } from '../../../../src/controller/sources/kubernetes/service-objects.ts';
import {
  ServiceStatusWriter,
  type ServiceStatusWriterInput,
} from '../../../../src/controller/sources/kubernetes/service-status-writer.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import type { Address } from '../../../../src/state/address.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { untilTrue } from '../../../patience.ts';
import { serviceObject } from '../../fixture.ts';
import { cutService } from './cut-service.ts';

const web = 'demo/web' as ServiceKey;
const quiet = () => undefined;

/**
 * A controller, a Service with this address in its status, and an API server with this answer; and which keys
 * were examined, written and reported.
 */
function publishing(t: TestContext, ip: string, answer: object | Error = {}) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const { signal } = abort;
  const controller: Controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: parsePools(['p=10.77.0.100']),
    filterByDefault: true,
    onChange: quiet,
    nowMs: () => 0,
    onTouched: (addresses, refused) => statusWriter.touched(addresses, refused),
  });
  const catalog = new ServiceObjects();
  const seen = (...ingress: readonly object[]) => {
    const entry = cutService({ ...serviceObject('web'), status: { loadBalancer: { ingress } } });
    catalog.apply({ set: new Map([[web, entry]]), remove: [] });
  };
  seen({ ip });
  const written = new Map<string, unknown>();
  const looked = new Set<ServiceKey>();
  const owned: string[] = [];
  const asked: string[] = [];
  const statusWriter: ServiceStatusWriter = new ServiceStatusWriter({
    controller,
    catalog,
    signal,
    hasIpMode: () => true,
    onVipsTouched: quiet,
    writes: new Writes({ signal, random: Math.random, mayWrite: () => true, onRefused: quiet }),
    client: {
      json: ({ path, body }: { path: string; body: { status: unknown } }) => {
        written.set(path.split('?')[0] ?? '', body.status);
        asked.push(path);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    } as unknown as ServiceStatusWriterInput['client'],
    serviceEvents: {
      look: (key: ServiceKey) => looked.add(key),
      statusOwned: (_: ServiceKey, note: string) => owned.push(note),
    } as unknown as ServiceStatusWriterInput['serviceEvents'],
  });
  return { controller, catalog, statusWriter, written, asked, looked, owned, seen };
}

test('a Service that new pools refuse is examined for an event, and its status is emptied', async (t) => {
  const { controller, catalog, written, looked } = publishing(t, '10.77.0.100');
  controller.publish({ set: [...catalog.services.values()], remove: [] });
  await untilTrue(() => looked.has(web));
  equal(written.size, 0);
  looked.clear();
  controller.usePools([]);
  controller.apply({ set: [...catalog.services.values()], remove: [] });
  equal(controller.allocator.refusals.get(web)?.reason, 'OutsidePool');
  await untilTrue(() => looked.has(web) && written.size > 0);
  deepEqual([...written.values()], [{ loadBalancer: {} }]);
});

const theirs = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } } };
const conflict = new ApiError(409, 'conflict with "metallb" using v1: .status', null);
const conflicts = new ApiError(
  409,
  'conflicts with "metallb" using v1:\n- .a\nconflicts with "it":\n- .b',
  null,
);
const answers = { stays: theirs, 'is refused': conflict, 'is refused for two reasons': conflicts };

for (const [what, answer] of Object.entries(answers))
  test(`a write to a foreign status that ${what} is repeated only after an event`, async (t) => {
    const { controller, catalog, statusWriter, asked, looked } = publishing(t, '192.0.2.7', answer);
    controller.publish({ set: [...catalog.services.values()], remove: [] });
    await untilTrue(() => statusWriter.problems().length > 0);
    looked.clear();
    // Its VIP is awaited, so that every message of an agent makes the writer examine it.
    statusWriter.progressed();
    await untilTrue(() => looked.has(web));
    equal(asked.length, 1);
    equal(statusWriter.problems().length, 1);
    statusWriter.seen([web]);
    await untilTrue(() => asked.length > 1);
  });

test('a write that fails as modified is repeated, and the status does not count as foreign', async (t) => {
  const modified = new ApiError(409, 'the object has been modified; please apply your changes again', null);
  const { controller, catalog, statusWriter, asked, owned } = publishing(t, '192.0.2.7', modified);
  controller.publish({ set: [...catalog.services.values()], remove: [] });
  await untilTrue(() => asked.length > 1);
  deepEqual([statusWriter.problems(), owned], [[], []]);
});

test('an address that another field manager has written is a problem until it is gone', async (t) => {
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } };
  const managedFields = [
    { manager: 'kube-controller-manager', fieldsV1: { 'f:metadata': { 'f:finalizers': {} } } },
    { manager: 'metallb', fieldsV1: { 'f:status': { 'f:loadBalancer': { 'f:ingress': {} } } } },
  ];
  const all = publishing(t, '192.0.2.7', { metadata: { managedFields }, status });
  const { controller, catalog, statusWriter, owned, seen } = all;
  controller.usePools([]);
  controller.publish({ set: [...catalog.services.values()], remove: [] });
  await untilTrue(() => owned.length > 0);
  const note = 'StatusOwnedByAnother: metallb has written its status, and vipward would write nothing';
  deepEqual([owned, statusWriter.problems().map(({ message }) => message)], [[note], [note]]);
  seen();
  statusWriter.seen([web]);
  await untilTrue(() => statusWriter.problems().length === 0);
  equal(owned.length, 1);
});

test('a new address counts as told once the API server names it, or the old one no longer', (t) => {
  const { statusWriter, seen } = publishing(t, '10.77.0.100');
  const [before, next] = ['10.77.0.100', '10.77.0.101'] as [Address, Address];
  const isTold = () => statusWriter.isTold(web, next, before);
  equal(isTold(), false);
  seen({ ip: next }, { ip: before });
  equal(isTold(), true);
  seen({ ip: before });
  equal(isTold(), false);
  seen();
  equal(isTold(), true);
});
