// The status of a Service gets an address that other Services have already once its own ports are open.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parsePools } from '../../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../../src/controller/controller.ts';
import { noRecords } from '../../../../src/controller/records/records.ts';
import { Sessions } from '../../../../src/controller/sessions.ts';
import { ServiceObjects } from '../../../../src/controller/sources/kubernetes/service-objects.ts';
import {
  ServiceStatusWriter,
  type ServiceStatusWriterInput,
} from '../../../../src/controller/sources/kubernetes/service-status-writer.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { untilTrue } from '../../../patience.ts';
import { serviceObject } from '../../fixture.ts';
import { hello, vip } from '../../ruling.ts';
import { cutService } from './cut-service.ts';

const quiet = () => undefined;

/** A controller with an agent, and the statuses that were written, in order. */
function publishing(t: TestContext) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const { signal } = abort;
  const controller: Controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: parsePools([`p=${vip}`]),
    filterByDefault: true,
    onChange: quiet,
    nowMs: () => 0,
    onTouched: (addresses, refused) => statusWriter.touched(addresses, refused),
  });
  const catalog = new ServiceObjects();
  const looked: ServiceKey[] = [];
  const said: string[] = [];
  const answer = ({ path, body }: { path: string; body: { status: unknown } }) => {
    const [, name] = /services\/(.+)\/status/.exec(path) ?? [];
    said.push(`${name} ${JSON.stringify(body.status)}`);
    return Promise.resolve({});
  };
  const statusWriter: ServiceStatusWriter = new ServiceStatusWriter({
    controller,
    catalog,
    signal,
    hasIpMode: () => false,
    onVipsTouched: quiet,
    writes: new Writes({ signal, random: Math.random, mayWrite: () => true, onRefused: quiet }),
    client: { json: answer } as unknown as ServiceStatusWriterInput['client'],
    serviceEvents: {
      look: (key: ServiceKey) => looked.push(key),
      announced: quiet,
    } as unknown as ServiceStatusWriterInput['serviceEvents'],
  });
  const sessions = new Sessions(controller, {
    generationRaised: quiet,
    refused: quiet,
    impossibleTerm: quiet,
    progressed: () => statusWriter.progressed(),
  });
  const apply = (name: string, ports: readonly number[]) => {
    const annotations = { 'vipward.io/addresses': vip };
    const entry = cutService(serviceObject(name, { ports, annotations }));
    const key = `demo/${name}` as ServiceKey;
    const changes = catalog.apply({ set: new Map([[key, entry]]), remove: [] });
    if (controller.isPublished) controller.apply(changes);
    else controller.publish(changes);
    statusWriter.seen([key]);
  };
  /** Waits until this Service was examined again, and the result was written. */
  const isLookedAt = async (name: string) => {
    looked.length = 0;
    statusWriter.progressed();
    await untilTrue(() => looked.includes(`demo/${name}` as ServiceKey));
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { controller, sessions, said, apply, isLookedAt };
}

test('a Service that joins an address gets it in its status once its own ports are committed', async (t) => {
  const { controller, sessions, said, apply, isLookedAt } = publishing(t);
  apply('web', [80]);
  const session = sessions.open(hello('a'), { send: quiet, bufferedAmount: 0 });
  sessions.begin(session);
  const commit = (seq = controller.rules.seq) => {
    equal(sessions.message(session, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
  };
  commit();
  controller.owners.settle();
  const placed = session.node.placements.get(vip);
  if (placed === undefined) throw new TypeError('a placement');
  equal(sessions.message(session, { type: 'heldDelta', set: [placed], remove: [] }), null);
  const told = `{"loadBalancer":{"ingress":[{"ip":"${vip}"}]}}`;
  await untilTrue(() => said.length > 0);
  deepEqual(said, [`web ${told}`]);
  apply('dns', [53]);
  await isLookedAt('dns');
  // An address that is in a status stays while the VIP changes.
  await isLookedAt('web');
  deepEqual(said, [`web ${told}`]);
  const { seq } = controller.rules;
  // A later change of another Service is not waited for.
  apply('web', [80, 81]);
  equal(controller.rules.seq, seq + 1);
  await isLookedAt('web');
  commit(seq);
  await untilTrue(() => said.length > 1);
  deepEqual(said, [`web ${told}`, `dns ${told}`]);
});

test('a Service whose port another had gets the address in its status once the port is open', async (t) => {
  const { controller, sessions, said, apply, isLookedAt } = publishing(t);
  apply('web', [80]);
  const session = sessions.open(hello('a'), { send: quiet, bufferedAmount: 0 });
  sessions.begin(session);
  const commit = () => {
    const { seq } = controller.rules;
    equal(sessions.message(session, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
  };
  commit();
  controller.owners.settle();
  const placed = session.node.placements.get(vip);
  if (placed === undefined) throw new TypeError('a placement');
  equal(sessions.message(session, { type: 'heldDelta', set: [placed], remove: [] }), null);
  const told = `{"loadBalancer":{"ingress":[{"ip":"${vip}"}]}}`;
  await untilTrue(() => said.length > 0);
  apply('zone', [80]);
  await isLookedAt('zone');
  commit();
  apply('web', [81]);
  await isLookedAt('zone');
  const isTold = () => said.includes(`zone ${told}`);
  equal(isTold(), false);
  commit();
  await untilTrue(isTold);
});
