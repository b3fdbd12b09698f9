// Two controllers of a real cluster: one rules, the other has the streams of the agents and stands by. Both
// streams pass through a relay that counts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skip as noNode } from '../kernel/node.ts';
import { spawnIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { skip as noCluster } from './control-plane.ts';
import { EchoTraffic } from './echo-traffic.ts';
import { NodeInCluster, userOf } from './node-in-cluster.ts';
import { Relay } from './relay.ts';
import { Replica } from './replica.ts';
import { unmoved } from './steady.ts';

const skip = noCluster || noNode;
/** The ports of each controller: its own, and that of the relay by which the agent comes to it. */
const places = { c1: { port: 9470, relayPort: 9480 }, c2: { port: 9472, relayPort: 9482 } } as const;
type Name = keyof typeof places;
/** How long the active is stopped: many times its Lease. */
const stoppedForMs = 60_000;

let all: NodeInCluster;
/** The way of c1 to the API server. */
let toServer: Relay;
const relays = {} as Record<Name, Relay>;
const kubeconfigs = {} as Record<Name, string>;
const replicas = {} as Record<Name, Replica>;
/** Every replica that was started: one that a failed test left running would keep this file from its end. */
const started: Replica[] = [];

function start(identity: Name): Replica {
  const { port } = places[identity];
  const replica = new Replica(all, { identity, port, kubeconfig: kubeconfigs[identity] });
  started.push(replica);
  replicas[identity] = replica;
  return replica;
}

before(async () => {
  if (skip !== false) return;
  const urls = Object.values(places).map(({ relayPort }) => `ws://127.0.0.1:${relayPort}`);
  all = await NodeInCluster.start({ hasController: false, agentArgs: ['--controller', urls.join()] });
  const where = all.node.node;
  for (const name of ['c1', 'c2'] as const) {
    const { port, relayPort } = places[name];
    const host = '127.0.0.1';
    relays[name] = await Relay.open({ where, host, port: relayPort }, { where, host, port });
  }
  const server = { where, host: '10.99.0.1', port: 6443 };
  toServer = await Relay.open({ where, host: '127.0.0.1', port: 6443 }, server);
  kubeconfigs.c1 = await all.account('c1', 'https://127.0.0.1:6443');
  kubeconfigs.c2 = await all.account('c2');
  await all.node.listen(all.node.node, 'udp', 53);
  await start('c1').becomes('active');
  await all.apply('dns', { ports: ['UDP 53'], annotations: { 'vipward.io/delivery': 'host' } });
  await all.serves('10.77.0.100: UDP 53');
  await start('c2').becomes('standby');
  await agentIsAt('c1', 'c2');
});
after(async () => {
  if (skip !== false) return;
  for (const relay of [toServer, ...Object.values(relays)]) relay[Symbol.dispose]();
  for (const replica of started) await replica.end('SIGKILL');
  await all[Symbol.asyncDispose]();
});

/** Waits until the agent was welcomed by these. */
async function agentIsAt(...names: readonly Name[]): Promise<void> {
  await all.until(`the agent is at ${names}`, () => {
    return Promise.resolve(names.every((name) => relays[name].said.includes('"type":"welcome"')));
  });
}

/** The term of the VIP as the node holds it. */
async function term(): Promise<unknown> {
  return (await all.node.status()).vips[0]?.term;
}

/** The figures of one take-over. */
interface TakeOver {
  readonly tookMs: number;
  readonly lost: number;
  readonly sent: number;
}

/**
 * Ends the active controller, waits for the other to rule, runs `meanwhile`, and checks what the node has
 * seen of it.
 */
async function takeOver(next: Name, end: () => void, meanwhile = async () => {}): Promise<TakeOver> {
  const { connections, said } = relays[next];
  const before = await term();
  const target = { address: '10.77.0.100', port: 53, everyMs: 5 };
  using traffic = await EchoTraffic.start(all.node.client, target);
  await sleep(100);
  const startedMs = performance.now();
  end();
  await all.until(`${next} rules`, async () => {
    const { role, nodes, vips } = await replicas[next].status;
    return role === 'active' && nodes[0]?.connected === true && vips[0]?.state === 'serving';
  });
  const tookMs = performance.now() - startedMs;
  await meanwhile();
  const { sent, lost } = await traffic.stop();
  assert.deepEqual(await term(), before);
  assert.equal(relays[next].connections, connections, 'the agent reconnected');
  assert.doesNotMatch(relays[next].said.slice(said.length), /"type":"page"/);
  return { tookMs, sent, lost };
}

function figures({ tookMs, sent, lost }: TakeOver): string {
  return `the other rules and has heard of every VIP after ${tookMs.toFixed(0)} ms; ${lost} of ${sent} lost`;
}

test('a standby welcomes agents and names the active controller, to which verbs go on', {
  skip,
}, async () => {
  const { role, leader, reason, generation } = await replicas.c2.status;
  assert.deepEqual([role, reason, generation], ['standby', 'Standby', 0]);
  assert.deepEqual(leader, { identity: 'c1', address: '127.0.0.1:9470' });
  assert.match(relays.c2.said, /"generation":1,"ruling":false/);
  const verb = ['undrain', 'node1', '--controller', 'http://127.0.0.1:9472'];
  // The relays are in this process, and go on meanwhile.
  const undrain = spawnIn(all.node.node, [process.execPath, program, ...verb], { stdio: 'pipe' });
  const said = text(undrain.stderr as NodeJS.ReadableStream);
  const [code] = await once(undrain, 'exit');
  assert.equal(code, 0, await said);
  assert.match(await said, /127\.0\.0\.1:9472 is a standby: asking the leader, c1 at 127\.0\.0\.1:9470/);
});

test('after the active controller is killed the standby rules, and no VIP moves', { skip }, async (t) => {
  const found = await takeOver('c2', () => replicas.c1.signal('SIGKILL'));
  assert.equal(found.lost, 0);
  t.diagnostic(`SIGKILL: ${figures(found)}`);
  assert.equal((await replicas.c2.status).generation, 2);
  await all.apply('dns', { ports: ['UDP 53', 'UDP 54'], annotations: { 'vipward.io/delivery': 'host' } });
  await all.serves('10.77.0.100: UDP 53, UDP 54');
});

test('after SIGTERM to the active controller the standby rules, and no VIP moves', { skip }, async (t) => {
  relays.c1.said = '';
  await start('c1').becomes('standby');
  await agentIsAt('c1');
  const found = await takeOver('c1', () => replicas.c2.signal('SIGTERM'));
  assert.equal(found.lost, 0);
  t.diagnostic(`SIGTERM: ${figures(found)}`);
  const lease = all.cluster.audit(userOf('c2')).filter(({ requestObject }) => requestObject !== undefined);
  // Released, so that the other need not wait for its end.
  assert.equal(lease.at(-1)?.requestObject?.spec.holderIdentity, '');
  await all.apply('dns', { ports: ['UDP 53', 'UDP 55'], annotations: { 'vipward.io/delivery': 'host' } });
  await all.serves('10.77.0.100: UDP 53, UDP 55');
});

test('a controller that was stopped for longer than its Lease writes nothing afterwards and exits', {
  skip,
}, async (t) => {
  relays.c2.said = '';
  await start('c2').becomes('standby');
  await agentIsAt('c2');
  const stoppedMs = Date.now();
  const endMs = performance.now() + stoppedForMs;
  const served = ['10.77.0.100: UDP 53, UDP 55', '10.77.0.101: TCP 81'];
  const found = await takeOver(
    'c2',
    () => replicas.c1.signal('SIGSTOP'),
    async () => {
      await all.apply('late', { ports: ['TCP 81'] });
      await all.serves(...served);
      await unmoved(all, endMs);
    },
  );
  assert.equal(found.lost, 0);
  t.diagnostic(`SIGSTOP: ${figures(found)}`);
  const since = writes('c2').find(({ atMs }) => atMs > stoppedMs)?.atMs ?? Number.POSITIVE_INFINITY;
  // It wakes without a connection to the API server: the agent refuses it by its generation.
  toServer.cut();
  replicas.c1.signal('SIGCONT');
  await all.until('the agent refuses it', async () => {
    const { controllers } = await all.node.status();
    return /generation: 3 is older than 4, which this node has obeyed/.test(controllers[0]?.reason ?? '');
  });
  assert.equal((await replicas.c1.status).generation, 3);
  toServer.isOpen = true;
  await all.until('the stopped controller exits', () => Promise.resolve(!replicas.c1.isRunning));
  assert.match(replicas.c1.log, /another controller holds the Lease/);
  assert.ok(since > stoppedMs && since < Date.now());
  const later = writes('c1').filter(({ atMs }) => atMs > since);
  assert.deepEqual(later, []);
  assert.deepEqual(await all.served(), served);
});

function writes(name: Name): { readonly what: string; readonly atMs: number }[] {
  return all.cluster
    .audit(userOf(name))
    .filter(({ verb }) => !['get', 'list', 'watch'].includes(verb))
    .map(({ verb, requestURI, requestReceivedTimestamp }) => {
      return { what: `${verb} ${requestURI}`, atMs: Date.parse(requestReceivedTimestamp) };
    });
}
