// The rights of deploy/, removed one by one: each is needed, and the status names the refusal without it in
// the words of the API server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiClient, ApiError, type ApiRequest } from '../../src/controller/sources/kubernetes/client.ts';
import { leaseReference } from '../../src/controller/sources/kubernetes/event-object.ts';
import { Events, seriesMs } from '../../src/controller/sources/kubernetes/events.ts';
import { Writes } from '../../src/controller/sources/kubernetes/writes.ts';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { account, NodeInCluster, systemNamespace, tokenOf } from './node-in-cluster.ts';
import { grant, type Right, refusalOf, rights, wordsOf } from './rights.ts';

const skip = noCluster || noNode;

/** Only a controller that other nodes can reach needs these: certificate.test.ts. */
const others = new Set(['secrets', 'configmaps']);
/** A repeated Event is counted five minutes later: the last test below has a clock for that. */
const late = ({ resource, verb }: Right): boolean => resource === 'events' && verb === 'patch';
const tried = rights.filter((right) => !others.has(right.resource) && !late(right));

let all: NodeInCluster;
before(async () => {
  if (skip === false) all = await NodeInCluster.start();
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

let round = -1;

/** Gives the controller something of every kind to create, change and delete. */
async function stir(): Promise<void> {
  round++;
  const at = (last: number) => ({ 'vipward.io/addresses': `10.77.0.${last}` });
  await all.apply(`own-${round}`, { annotations: at(100 + round) });
  await all.apply(`shared-${round}`, { ports: [`TCP ${1000 + round}`], annotations: at(199) });
  const more = { annotations: at(198), spec: { externalTrafficPolicy: 'Local' } };
  if (round === 0) await all.apply('local', { ports: ['TCP 81'], ...more });
  if (round === 0) return;
  await all.remove(`own-${round - 1}`);
  await all.remove(`shared-${round - 1}`);
}

async function problems(): Promise<string> {
  const { problems: found } = await all.node.controllerStatus();
  return found.map(({ message }) => message).join('\n');
}

test('with all rights no request is refused', { skip }, async () => {
  await stir();
  await all.serves('10.77.0.100: TCP 80', '10.77.0.199: TCP 1000');
  await all.until('there is no problem', async () => {
    assert.equal(await problems(), '');
    return true;
  });
});

for (const right of tried) {
  const { role, resource, verb } = right;
  test(`without the right to ${wordsOf(right)} the status names the refusal`, { skip }, async () => {
    await grant(all.cluster, role, right);
    if (verb === 'create' && resource === 'leases')
      await all.cluster.do(
        'DELETE',
        `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/vipward-controller`,
      );
    await all.node.killController('SIGKILL');
    all.node.startController();
    let tries = 0;
    await all.until('it is named', async () => {
      // An object that the last controller did not write is created whole by this one, which then changes
      // nothing.
      if (tries++ % 100 === 0) await stir();
      assert.match(await problems(), refusalOf(right));
      return true;
    });
    await grant(all.cluster, role);
  });
}

test('with all rights back every Service is served and written', { skip }, async () => {
  const wanted = `10.77.0.199: TCP ${1000 + round}`;
  await all.until('all is served and written', async () => {
    const served = await all.served();
    assert.equal(served.length, 2);
    assert.ok(served.includes(wanted), String(served));
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    assert.equal(items.length, 3);
    assert.equal(await problems(), '');
    return true;
  });
});

/** The Events of a controller, with its own account and a clock that the test moves. */
async function newsDesk(): Promise<{ nowMs: number; readonly writes: Writes; readonly say: () => void }> {
  const token = await tokenOf(all.cluster, account);
  const json = async ({ method = 'GET', path, body }: ApiRequest): Promise<unknown> => {
    const more = method === 'PATCH' ? { token, type: 'application/merge-patch+json' } : { token };
    const { status, body: said } = await all.cluster.ask(method, path, body, more);
    if (status >= 300) throw new ApiError(status, `${path}: ${status} ${said.message}`, null);
    return said;
  };
  const signal = new AbortController().signal;
  const often = { restMs: 100, onRefused: () => undefined };
  const writes = new Writes({ signal, random: () => 0, mayWrite: () => true, ...often });
  const desk = { nowMs: 0, writes, say: () => events.say(news) };
  const client = { json } as unknown as ApiClient;
  const events = new Events({ client, writes, identity: 'late', nowMs: () => desk.nowMs });
  const regarding = leaseReference(systemNamespace, 'late');
  const news = { regarding, type: 'Normal', reason: 'Moved', action: 'Move', note: 'said' } as const;
  return desk;
}

for (const right of rights.filter(late)) {
  test(`without the right to ${wordsOf(right)} a repeated Event is not counted`, { skip }, async () => {
    const desk = await newsDesk();
    desk.say();
    await all.until('it is said', async () => desk.writes.waiting === 0);
    await grant(all.cluster, right.role, right);
    desk.nowMs += seriesMs;
    desk.say();
    const { writes } = desk;
    const path = `/apis/events.k8s.io/v1/namespaces/${systemNamespace}/events`;
    await all.until('it is named', async () =>
      refusalOf(right).test(writes.refused.values().next().value ?? ''),
    );
    await grant(all.cluster, right.role);
    await all.until('it is counted', async () => {
      const { items } = await all.cluster.do('GET', path);
      const found = items.find(({ reportingInstance: by }: { reportingInstance: string }) => by === 'late');
      return found?.series?.count === 2;
    });
  });
}
