// What the status of a Service is made to say when it is not served any more.
import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Controller } from '../../../../src/controller/controller.ts';
import { parsePools } from '../../../../src/controller/pools.ts';
import { Publisher, type PublisherInput } from '../../../../src/controller/sources/kubernetes/publisher.ts';
import { cutService, ServiceObjects } from '../../../../src/controller/sources/kubernetes/service-objects.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { untilTrue } from '../../../patience.ts';
import { serviceObject } from '../../fixture.ts';

const rules = { classes: [], takesUnclassed: true, delivery: 'forward', isOfCluster: true } as const;
const web = 'demo/web' as ServiceKey;
const quiet = () => undefined;

/** A controller, and Services whose status says these; and what of them was looked at and written. */
function publishing(t: TestContext, statuses: Readonly<Partial<Record<ServiceKey, string>>>) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const { signal } = abort;
  const records = { cluster: 'c', generation: 1, drained: [], allocations: new Map(), former: new Map() };
  const controller: Controller = new Controller({
    ...{ records: { ...records, owners: new Map() }, pools: parsePools(['p=10.77.0.100']) },
    ...{ filterByDefault: true, onChange: quiet, nowMs: () => 0 },
    onTouched: (addresses, refused) => publisher.touched(addresses, refused),
  });
  const catalog = new ServiceObjects();
  const entries = Object.entries(statuses).map(([key, ip]) => {
    const object = serviceObject(key.split('/')[1] ?? '');
    return [key, cutService({ ...object, status: { loadBalancer: { ingress: [{ ip }] } } }, rules)] as const;
  });
  catalog.apply({ set: new Map(entries), remove: [] });
  const written = new Map<string, unknown>();
  const looked = new Set<ServiceKey>();
  const publisher: Publisher = new Publisher({
    ...{ controller, catalog, signal, hasIpMode: () => true, onStanding: quiet },
    writes: new Writes({ signal, random: Math.random, mayWrite: () => true, onRefused: quiet }),
    client: {
      json: ({ path, body }: { path: string; body: { status: unknown } }) => {
        written.set(path.split('?')[0] ?? '', body.status);
        return Promise.resolve({});
      },
    } as unknown as PublisherInput['client'],
    news: { look: (key: ServiceKey) => looked.add(key) } as unknown as PublisherInput['news'],
  });
  return { controller, catalog, publisher, written, looked };
}

test('who is refused without an event of its own is told so, and its status says nothing more', async (t) => {
  const { controller, catalog, written, looked } = publishing(t, { [web]: '10.77.0.100' });
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
