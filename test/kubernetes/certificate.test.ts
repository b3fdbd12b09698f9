// The certificate that the controllers of a cluster make themselves: they keep it in a Secret and publish its
// CA in a ConfigMap, the active one renews it, and all of them serve it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { makeServerPair } from '../../src/controller/certificate.ts';
import type { Status } from '../../src/controller/status/status.ts';
import { connectIn } from '../kernel/traffic.ts';
import { until } from '../patience.ts';
import { program } from '../program.ts';
import { Cluster } from './cluster.ts';
import { skip } from './control-plane.ts';
import { account, applyChart, controllerFlags, systemNamespace, tokenOf } from './node-in-cluster.ts';
import { Program } from './processes.ts';
import { grant, type Right, refusalOf, rights, wordsOf } from './rights.ts';

const servername = `vipward-controller.${systemNamespace}.svc`;
const core = `/api/v1/namespaces/${systemNamespace}`;
const dayMs = 86_400_000;

let cluster: Cluster;
let kubeconfig = '';
before(async () => {
  if (skip !== false) return;
  cluster = await Cluster.start();
  applyChart(cluster);
  kubeconfig = cluster.kubeconfig('controller', await tokenOf(cluster, account));
});
after(async () => {
  if (skip === false) await cluster.stop();
});

function start(identity: string, port: number): Program {
  const who = ['--agent-service-account', `${systemNamespace}/vipward-agent`];
  const argv = [
    'controller',
    ...controllerFlags(identity, kubeconfig),
    '--listen',
    `0.0.0.0:${port}`,
    ...who,
  ];
  const log = join(cluster.folder, `${identity}.log`);
  return new Program(cluster.namespace, [process.execPath, program, ...argv], log);
}

/** The CA certificate as agents get it. */
async function authority(): Promise<string> {
  const { data } = await cluster.do('GET', `${core}/configmaps/vipward-ca`);
  return data['ca.crt'];
}

async function secret(): Promise<Readonly<Record<string, string>>> {
  const { data } = await cluster.do('GET', `${core}/secrets/vipward-tls`);
  const texts = Object.entries(data as Record<string, string>).map(([key, value]) => {
    return [key, Buffer.from(value, 'base64').toString()];
  });
  return Object.fromEntries(texts);
}

/** The status of a controller, asked by the name of the Service as an agent asks, with that CA alone. */
async function statusOf(port: number, ca?: string): Promise<Status> {
  const socket = await connectIn(cluster.namespace, { host: '127.0.0.1', port });
  const believes = ca === undefined ? { rejectUnauthorized: false } : { ca };
  const secure = connect({ socket, servername, ...believes });
  const agent = new Agent();
  Object.assign(agent, { createConnection: () => secure });
  const sent = get({ host: servername, path: '/api/v1/status', agent });
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const status = JSON.parse(await text(response)) as Status;
  secure.destroy();
  return status;
}

async function verified(port: number, controller: Program): Promise<void> {
  const isSo = async () => (await statusOf(port, await authority())).problems.length === 0;
  await until(`the certificate at ${port} is trusted`, isSo, () => controller.words);
}

test('two controllers serve certificates of one CA for the name of their Service', { skip }, async () => {
  await using first = start('c1', 9470);
  await using second = start('c2', 9480);
  await verified(9470, first);
  await verified(9480, second);
  const kept = await secret();
  assert.equal(kept['ca.crt'], await authority());
  assert.deepEqual(Object.keys(kept).sort(), ['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
  await first.end('SIGTERM');
  await second.end('SIGTERM');
});

/** Puts a certificate in the Secret that is past two thirds of its life. */
async function makeOld(): Promise<string> {
  const kept = await secret();
  const pair = { cert: kept['ca.crt'] ?? '', key: kept['ca.key'] ?? '' };
  const input = { subject: 'old', fromMs: Date.now() - 70 * dayMs, days: 90 };
  const { cert, key } = makeServerPair(pair, [servername], input);
  const stringData = { 'tls.crt': cert, 'tls.key': key };
  await cluster.do('PATCH', `${core}/secrets/vipward-tls`, { stringData }, mergePatch);
  return cert;
}
const mergePatch = { type: 'application/merge-patch+json' };

test('the controller renews an old certificate and keeps its CA', { skip }, async () => {
  const before = await authority();
  const old = await makeOld();
  await using controller = start('c3', 9470);
  await until(
    'the Secret has another certificate',
    async () => (await secret())['tls.crt'] !== old,
    () => controller.words,
  );
  assert.equal(await authority(), before);
  assert.equal((await secret())['ca.crt'], before);
  await verified(9470, controller);
  await controller.end('SIGTERM');
});

test('the controller serves a certificate without its CA key and never writes it', { skip }, async () => {
  await makeOld();
  await cluster.do('PATCH', `${core}/secrets/vipward-tls`, { data: { 'ca.key': null } }, mergePatch);
  const version = async () =>
    (await cluster.do('GET', `${core}/secrets/vipward-tls`)).metadata.resourceVersion as string;
  const before = await version();
  await using controller = start('c4', 9470);
  await verified(9470, controller);
  assert.equal(await version(), before);
  await controller.end('SIGTERM');
  await cluster.do('DELETE', `${core}/secrets/vipward-tls`);
});

/** Makes a controller use a right: an object to create is missing, or one to update is wrong. */
async function provoke({ resource, verb }: Right): Promise<void> {
  const path = resource === 'secrets' ? `${core}/secrets/vipward-tls` : `${core}/configmaps/vipward-ca`;
  if (verb === 'create') await cluster.ask('DELETE', path);
  if (verb !== 'update') return;
  if (resource === 'secrets') await makeOld();
  else await cluster.do('PATCH', path, { data: { 'ca.crt': 'another' } }, mergePatch);
}

const tried = rights.filter(({ resource }) => ['secrets', 'configmaps'].includes(resource));

for (const right of tried) {
  test(`without the right to ${wordsOf(right)} the status names the refusal`, { skip }, async () => {
    await using whole = start('whole', 9470);
    await verified(9470, whole);
    await whole.end('SIGTERM');
    await provoke(right);
    await grant(cluster, right.role, right);
    await using controller = start('less', 9470);
    const isNamed = async () => {
      const { problems } = await statusOf(9470);
      assert.match(problems.map(({ message }) => message).join('\n'), refusalOf(right));
      return true;
    };
    await until('the status names the refusal', isNamed, () => controller.words);
    await grant(cluster, right.role);
    await verified(9470, controller);
    await controller.end('SIGTERM');
  });
}
