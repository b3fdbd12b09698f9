// What the controller writes about Services: one Event for each reason, and no status of another manager.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, ApiError, type ApiRequest } from '../../src/controller/sources/kubernetes/client.ts';
import { serviceReference } from '../../src/controller/sources/kubernetes/event-object.ts';
import { Events, seriesMs } from '../../src/controller/sources/kubernetes/events.ts';
import { Writes } from '../../src/controller/sources/kubernetes/writes.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster } from './node-in-cluster.ts';

const skip = noCluster || noNode;

let all: NodeInCluster;
before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start({ controllerArgs: ['--pool', 'own=10.77.0.1'] });
  await all.until('the agent is there', async () => {
    return (await all.node.controllerStatus()).nodes[0]?.connected === true;
  });
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

interface EventObject {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly series?: { readonly count: number };
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid: string };
}

/** The Events of our controller about an object. */
async function events(kind: string, name: string): Promise<EventObject[]> {
  const { items } = await all.cluster.do('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
  // The API server writes Events about a Service too, such as that its ClusterIP was allocated again.
  return (items as EventObject[])
    .filter(({ reportingController }) => reportingController === 'vipward.io/controller')
    .filter(({ regarding }) => regarding.kind === kind && regarding.name === name);
}

/** Waits until exactly these Events are there, as `type reason`. */
async function told(name: string, ...wanted: readonly string[]): Promise<void> {
  await all.until(`Events of ${name}`, async () => {
    const found = (await events('Service', name)).map(({ type, reason }) => `${type} ${reason}`);
    assert.deepEqual(found.sort(), [...wanted].sort());
    return true;
  });
}

test('a Service gets one Event for its address and one when that is announced', { skip }, async () => {
  await all.apply('web');
  await told('web', 'Normal Allocated', 'Normal Announced');
  const { metadata } = await all.cluster.do('GET', '/api/v1/namespaces/default/services/web');
  const [first, second] = await events('Service', 'web');
  assert.equal(first?.regarding.uid, metadata.uid);
  assert.equal(first?.reportingInstance, 'c1');
  assert.deepEqual([first?.note, second?.note].sort(), ['10.77.0.100', '10.77.0.100 by node1']);
  const described = all.cluster.kubectl(['describe', 'service', 'web']);
  assert.match(described, /Normal +Announced .* vipward\.io\/controller.* 10\.77\.0\.100 by node1/);
});

test('a Service that is not served gets one Event with the reason', { skip }, async () => {
  await all.apply('outside', { annotations: { 'vipward.io/addresses': '192.0.2.1' } });
  await all.apply('second', { annotations: { 'vipward.io/addresses': '10.77.0.100' } });
  await told('outside', 'Warning OutsidePool');
  await told('second', 'Normal Allocated', 'Warning PortTaken');
  assert.deepEqual(await ingress('second'), []);
  const lost = (await events('Service', 'second')).find(({ reason }) => reason === 'PortTaken');
  assert.match(lost?.note ?? '', /already belongs to default\/web.*its status omits that address/);
  for (let round = 0; round < 5; round++) {
    const labels = { round: String(round) };
    await all.apply('outside', { labels, annotations: { 'vipward.io/addresses': '192.0.2.1' } });
  }
  await all.apply('marker');
  await told('marker', 'Normal Allocated', 'Normal Announced');
  await told('outside', 'Warning OutsidePool');
  const [event] = await events('Service', 'outside');
  assert.match(event?.note ?? '', /192\.0\.2\.1 is in no range of lan/);
});

test('an invalid annotation gets an Event, and its Service is served without it', { skip }, async () => {
  await all.apply('odd', { annotations: { 'vipward.io/only-service-ports': 'off' } });
  await told('odd', 'Normal Allocated', 'Normal Announced', 'Warning NotSupported');
  const notes = (await events('Service', 'odd')).map(({ note }) => note).join('\n');
  assert.match(notes, /only-service-ports"\]: expected "true" or "false", got "off"/);
  await all.remove('odd');
});

test('a Service whose node cannot take the address gets the Event AddressConflict', { skip }, async () => {
  await all.apply('taken', { annotations: { 'vipward.io/addresses': '10.77.0.1' } });
  await told('taken', 'Normal Allocated', 'Warning AddressConflict');
  await all.remove('taken');
});

/** Writes the status of a Service as another field manager. */
async function writeAsAnother(name: string, status: object): Promise<void> {
  const path = `/api/v1/namespaces/default/services/${name}/status?fieldManager=other-lb&force=true`;
  const metadata = { name, namespace: 'default' };
  const body = { apiVersion: 'v1', kind: 'Service', metadata, status };
  await all.cluster.do('PATCH', path, body, { type: 'application/apply-patch+yaml' });
}

async function ingress(name: string): Promise<string[]> {
  const { status } = await all.cluster.do('GET', `/api/v1/namespaces/default/services/${name}`);
  return (status.loadBalancer.ingress ?? []).map(({ ip }: { ip: string }) => ip);
}

test('the controller keeps the status of another manager and names that manager', { skip }, async () => {
  await writeAsAnother('web', { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } });
  await told('web', 'Normal Allocated', 'Normal Announced', 'Warning StatusOwnedByAnother');
  assert.deepEqual(await ingress('web'), ['192.0.2.7']);
  const { problems } = await all.node.controllerStatus();
  const [problem] = problems.filter(({ service }) => service === 'default/web');
  assert.match(problem?.message ?? '', /^StatusOwnedByAnother: other-lb has written its status/);
  // As docs/kubernetes.md has it for a writer that is gone.
  const nothing = ['--type=merge', '-p', '{"status":{"loadBalancer":null}}'];
  all.cluster.kubectl(['patch', 'service', 'web', '--subresource=status', ...nothing]);
  await all.until('it is ours again', async () => (await ingress('web')).join() === '10.77.0.100');
  await all.until('the problem is over', async () => {
    return (await all.node.controllerStatus()).problems.length === 0;
  });
});

test('the controller keeps the status of another manager where it would remove the address', {
  skip,
}, async () => {
  await writeAsAnother('outside', { loadBalancer: { ingress: [{ ip: '192.0.2.7' }] } });
  await told('outside', 'Warning OutsidePool', 'Warning StatusOwnedByAnother');
  const notes = (await events('Service', 'outside')).map(({ note }) => note).join('\n');
  assert.match(notes, /other-lb has written its status, and vipward would write nothing/);
  assert.deepEqual(await ingress('outside'), ['192.0.2.7']);
  await writeAsAnother('outside', {});
  await all.until('the problem is over', async () => {
    return (await all.node.controllerStatus()).problems.length === 0;
  });
});

test('the status lists an address only once its node has announced it', { skip }, async () => {
  process.kill(all.node.agentPid, 'SIGSTOP');
  try {
    await all.apply('late');
    await told('late', 'Normal Allocated');
    await sleep(500);
    assert.deepEqual(await ingress('late'), []);
  } finally {
    process.kill(all.node.agentPid, 'SIGCONT');
  }
  await told('late', 'Normal Allocated', 'Normal Announced');
  assert.deepEqual(await ingress('late'), ['10.77.0.102']);
});

test('the status lists the old address until the requested new one is announced', { skip }, async () => {
  const shown = await ingress('late');
  const goes = async (address: string): Promise<void> => {
    await all.apply('late', { annotations: { 'vipward.io/addresses': address } });
    await all.until(`${address} is all that is served of it`, async () => {
      const listed = await ingress('late');
      const [now = 'none'] = listed;
      if (shown.at(-1) !== now) shown.push(now);
      const known = (await all.served()).map((vip) => vip.split(':')[0]);
      const others = ['10.77.0.102', '10.77.0.180'].filter((one) => one !== address);
      return (
        listed.join() === address && known.includes(address) && !others.some((one) => known.includes(one))
      );
    });
  };
  await goes('10.77.0.180');
  await goes('10.77.0.102');
  assert.deepEqual(shown, ['10.77.0.102', '10.77.0.180', '10.77.0.102']);
});

test('the VirtualIP of an address that no node holds any more gets the Event Released', {
  skip,
}, async () => {
  // The address was released before and came back, so an earlier record may have had that Event too.
  const path = '/apis/vipward.io/v1alpha1/virtualips/10.77.0.102';
  let uid = '';
  await all.until('it has a record', async () => {
    uid = (await all.cluster.do('GET', path)).metadata.uid;
    return true;
  });
  await all.remove('late');
  await all.until('Released is written', async () => {
    const found = (await events('VirtualIP', '10.77.0.102')).filter(({ regarding }) => regarding.uid === uid);
    return found.map(({ reason }) => reason).join() === 'Released';
  });
});

interface Desk {
  readonly writes: Writes;
  /** Says a note, lets the time of its Event pass, and waits until it is written. */
  readonly say: (key: string, note: string) => Promise<void>;
}

/** The Events of a controller, with a clock of their own. */
function newsDesk(): Desk {
  let nowMs = 0;
  const json = async ({ method = 'GET', path, body }: ApiRequest) => {
    const more = method === 'PATCH' ? { type: 'application/merge-patch+json' } : {};
    const { status, body: said } = await all.cluster.ask(method, path, body, more);
    const causes = (said.details?.causes ?? []).map((cause: { reason: string }) => cause.reason);
    if (status >= 300) throw new ApiError(status, JSON.stringify(said), null, causes);
    return said;
  };
  const client = { json } as unknown as ApiClient;
  const writes = new Writes({
    signal: new AbortController().signal,
    random: () => 0,
    mayWrite: () => true,
    onRefused: () => undefined,
  });
  const told = new Events({ client, writes, identity: 'ü'.repeat(100), nowMs: () => nowMs });
  const say = async (key: string, note: string) => {
    const regarding = serviceReference(parseServiceKey(key), 'u1');
    told.say({ regarding, type: 'Warning', reason: 'PortTaken', action: 'Serve', note });
    nowMs += seriesMs;
    await all.until('it is written', async () => writes.waiting === 0);
  };
  return { writes, say };
}

test('the API server accepts a shortened Event, counts a repeated one, and accepts another note', {
  skip,
}, async () => {
  const { writes, say } = newsDesk();
  for (const note of ['é'.repeat(1000), 'é'.repeat(1000), 'short']) await say('default/said', note);
  const found = await events('Service', 'said');
  const told = found.map(({ note, series }) => `${note.length} ${series?.count ?? 1}`);
  assert.deepEqual([told.sort(), [...writes.refused]], [['5 1', '511 2'], []]);
});

test('an Event about a Service whose namespace is deleted, or is being deleted, counts as no refusal', {
  skip,
}, async () => {
  const { writes, say } = newsDesk();
  await say('was-deleted/web', 'too late');
  await all.cluster.do('POST', '/api/v1/namespaces', { metadata: { name: 'ending' } });
  // No controller of namespaces runs, so that it stays for ever in this state.
  await all.cluster.do('DELETE', '/api/v1/namespaces/ending');
  await say('ending/web', 'too late');
  assert.deepEqual([writes.waiting, [...writes.refused]], [0, []]);
});
