// The VirtualIP of a removed VIP that an absent node may still have: it stays until the node has let go, even
// if it is deleted by hand.
import { deepEqual } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
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
const released = { node: 'a', term, state: 'released' };

/** A controller whose node `a` had a VIP and is away; the Service is gone. And the requests to the API. */
async function recording(t: TestContext) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const { signal } = abort;
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  const session = joined(one, hello('a', [{ address: vip, term }]));
  await settled(one);
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
    uidOf: () => '',
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
  sessions.close(session);
  controller.apply({ set: [], remove: ['demo/web-0' as ServiceKey] });
  told('r1', { ...released, state: 'serving' }, [{ namespace: 'demo', name: 'web-0' }]);
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
