// The VirtualIP of a removed VIP that an absent node may still have: it stays until the node has let go, even
// if it is deleted by hand. And which records were there before this controller wrote them.
import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Controller } from '../../../../src/controller/controller.ts';
import type { ApiRequest } from '../../../../src/controller/sources/kubernetes/client.ts';
import {
  cutVirtualIp,
  type VirtualIpRecord,
} from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import {
  VirtualIpWriter,
  type VirtualIpWriterInput,
} from '../../../../src/controller/sources/kubernetes/virtual-ip-writer.ts';
import { Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { untilTrue } from '../../../patience.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../../ruling.ts';

const limit = { timeout: 20_000 };
const quiet = () => undefined;
const key = 'demo/web-0' as ServiceKey;
const ofService = { namespace: 'demo', name: 'web-0' };
const released = { node: 'a', term, state: 'released' };

/** The writer of a controller's records, and the requests to the API. */
function writing(t: TestContext, controller: Controller, uidOfService = '') {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const { signal } = abort;
  const asked: unknown[] = [];
  let last = '';
  const json = async ({ method, path, body }: ApiRequest) => {
    const request = [method, path.replace(/^.*virtualips\/?/, ''), body];
    // A request is repeated until its event arrives.
    if (JSON.stringify(request) !== last) asked.push(request);
    last = JSON.stringify(request);
  };
  const vipWriter = new VirtualIpWriter({
    controller,
    signal,
    uidOf: () => uidOfService,
    say: quiet,
    client: { json } as unknown as VirtualIpWriterInput['client'],
    isListed: () => true,
    writes: new Writes({ signal, random: () => 0, mayWrite: () => true, onRefused: quiet, restMs: 20 }),
  });
  /** The API server reports the record. */
  const told = (uid: string, status: object, services: readonly object[] = []) => {
    const object = { metadata: { uid, generation: 1 }, spec: { address: vip, pool: 'p', services }, status };
    const record = cutVirtualIp(object) as VirtualIpRecord;
    vipWriter.changed({ set: new Map([[vip, record]]), remove: [] });
  };
  const deleted = () => vipWriter.changed({ set: new Map(), remove: [vip] });
  /** Expects this request next, and no other. */
  const asks = async (...wanted: readonly unknown[]) => {
    await untilTrue(() => asked.length > 0);
    deepEqual(asked, [wanted]);
    asked.length = 0;
  };
  return { vipWriter, told, deleted, asks };
}

/** A controller whose node `a` had a VIP and is away; the Service is gone. And the requests to the API. */
async function recording(t: TestContext) {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  const session = joined(one, hello('a', [{ address: vip, term }]));
  await settled(one);
  const { told, deleted, asks } = writing(t, controller);
  sessions.close(session);
  controller.apply({ set: [], remove: [key] });
  told('r1', { ...released, state: 'serving' }, [ofService]);
  await asks('PATCH', `${vip}/status`, { status: released });
  told('r1', released);
  return { ...one, told, deleted, asks };
}

const made = {
  apiVersion: 'vipward.io/v1alpha1',
  kind: 'VirtualIP',
  metadata: { name: vip },
  spec: { address: vip, pool: 'p', services: [] },
};

test('a VirtualIP that is deleted by hand while its node is away is created again', limit, async (t) => {
  const all = await recording(t);
  all.deleted();
  await all.asks('POST', '', made);
  all.told('r2', {});
  await all.asks('PATCH', `${vip}/status`, { status: released });
  all.told('r2', released);
  joined(all, hello('a'));
  await all.asks('DELETE', vip, { preconditions: { uid: 'r2' } });
});

test('a VirtualIP of a VIP that no node has is deleted, and is not created again', limit, async (t) => {
  const all = await recording(t);
  all.controller.forget('a');
  await all.asks('DELETE', vip, { preconditions: { uid: 'r1' } });
  all.deleted();
  all.told('r3', {});
  await all.asks('DELETE', vip, { preconditions: { uid: 'r3' } });
});

test('a record counts as there before only until this controller has written it', limit, async (t) => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  joined(one, hello('a', [{ address: vip, term }]));
  await settled(one);
  const { vipWriter, told, deleted, asks } = writing(t, one.controller);
  const spec = { ...made.spec, services: [ofService] };
  told('r1', {}, [ofService]);
  equal(vipWriter.had(vip, key), true);
  deleted();
  await asks('POST', '', { ...made, spec });
  told('r2', {}, [ofService]);
  equal(vipWriter.had(vip, key), false);
});

test('a record counts as there before only for the Service that it names, not for a later one', (t) => {
  const { vipWriter, told } = writing(t, ruling().controller, 'later');
  for (const [uid, wasThere] of [
    ['former', false],
    ['later', true],
    ['', true],
  ] as const) {
    told('r1', {}, [{ ...ofService, uid }]);
    equal(vipWriter.had(vip, key), wasThere, uid);
  }
});
