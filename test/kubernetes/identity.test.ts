// The controller learns the node of an agent from the token of its Pod, and a hostile agent changes nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type AgentSetup, TestAgent } from '../controller/test-agent.ts';
import { skip as noNode } from '../kernel/node.ts';
import { connectIn, stay } from '../kernel/traffic.ts';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster, systemNamespace } from './node-in-cluster.ts';

const skip = noCluster || noNode;
const account = 'vipward-agent';
const tokenFile = join(tmpdir(), `vipward-agent-token-${process.pid}`);

let all: NodeInCluster;
let token = '';
before(async () => {
  if (skip !== false) return;
  writeFileSync(tokenFile, '');
  all = await NodeInCluster.start({
    controllerArgs: ['--agent-service-account', `${systemNamespace}/${account}`],
    agentArgs: ['--token-file', tokenFile],
  });
  token = await tokenOn('node1');
  writeFileSync(tokenFile, token);
});
after(async () => {
  rmSync(tokenFile, { force: true });
  if (skip === false) await all[Symbol.asyncDispose]();
});

/** A token as the kubelet has it made for a Pod on a node. */
async function tokenOn(node: string, name = account, audience = 'vipward'): Promise<string> {
  const pods = `/api/v1/namespaces/${systemNamespace}/pods`;
  const containers = [{ name: 'agent', image: 'none' }];
  const pod = await all.cluster.do('POST', pods, {
    metadata: { generateName: `${name}-` },
    spec: { serviceAccountName: name, nodeName: node, containers },
  });
  const { metadata } = pod as { metadata: { name: string; uid: string } };
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: metadata.name, uid: metadata.uid };
  const path = `/api/v1/namespaces/${systemNamespace}/serviceaccounts/${name}/token`;
  const spec = { audiences: [audience], boundObjectRef, expirationSeconds: 3600 };
  return (await all.cluster.do('POST', path, { spec })).status.token;
}

/** The status of the answer to a request for a stream. */
async function upgraded(bearer: string | null): Promise<number> {
  const socket = await connectIn(all.node.node, { host: '127.0.0.1', port: 9470 });
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'sec-websocket-protocol': 'vipward.v1',
    ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
  };
  const sent = request({ path: '/agent', headers, createConnection: () => socket });
  sent.end();
  const [response] = await Promise.race([once(sent, 'response'), once(sent, 'upgrade')]);
  socket.destroy();
  return response.statusCode;
}

/** An agent in the namespace of the node that speaks for itself. */
async function agent(name: string, setup: AgentSetup): Promise<TestAgent> {
  return await stay(all.node.node, async () => {
    const made = new TestAgent('http://127.0.0.1:9470', name, setup);
    await turn();
    return made;
  });
}

/** What no hostile agent may change. */
async function standing(): Promise<unknown> {
  const { generation, vips, nodes } = await all.node.controllerStatus();
  return { generation, vips, nodes: nodes.map(({ name, connected }) => ({ name, connected })) };
}

test('the controller admits an agent by the token of its Pod, which the API server itself refuses', {
  skip,
}, async () => {
  await all.apply('web');
  await all.serves('10.77.0.100: TCP 80');
  assert.equal((await all.cluster.ask('GET', '/api/v1/pods', undefined, { token })).status, 401);
});

test('the controller refuses a stream without a valid token of an agent', { skip }, async () => {
  const [head = '', body = '', signature = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString());
  claims['kubernetes.io'].node.name = 'node2';
  const forged = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const unsigned = Buffer.from('{"alg":"none","kid":"x"}').toString('base64url');
  const strangers = {
    'no token': null,
    'any word': 'secret',
    'another node written into it': `${head}.${forged}.${signature}`,
    'no signature': `${unsigned}.${forged}.`,
    'another audience': await tokenOn('node1', account, 'https://kubernetes.default'),
    'another account': await tokenOn('node1', 'vipward-controller'),
  };
  for (const [what, bearer] of Object.entries(strangers)) assert.equal(await upgraded(bearer), 401, what);
  assert.equal(await upgraded(token), 101);
});

test('the controller refuses a hello of another node than that of the token', { skip }, async () => {
  const before = await standing();
  const other = await agent('node2', { token });
  const closed = await other.untilClosed();
  assert.equal(closed.code, 1008);
  assert.match(closed.reason, /credential is that of node1, not of node2/);
  const honest = await agent('node2', { token: await tokenOn('node2') });
  await honest.synced();
  const replayed = await agent('node2', { token, hello: honest.hello() });
  assert.match((await replayed.untilClosed()).reason, /credential is that of node1, not of node2/);
  await honest.close();
  const { generation, vips } = (await standing()) as { generation: number; vips: unknown };
  assert.deepEqual({ generation, vips }, { generation: 1, vips: (before as { vips: unknown }).vips });
});

test('the controller refuses a generation that it never issued, and gives no VIP for such a term', {
  skip,
}, async () => {
  const before = await standing();
  const two = await tokenOn('node2');
  const liar = await agent('node2', { token: two, hello: { generation: 2 ** 52 } });
  assert.match((await liar.untilClosed()).reason, /ImpossibleTerm/);
  const held = [{ address: '10.77.0.100', term: { generation: 2 ** 52, n: 1 } }] as never;
  const claimant = await agent('node2', { token: two, hello: { held } });
  await claimant.synced();
  assert.equal(claimant.placements.size, 0);
  await claimant.close();
  await all.until('the status is as before', async () => {
    assert.deepEqual(await standing(), before);
    return true;
  });
});

test('the controller refuses move, drain and undrain with the token of an agent', { skip }, async () => {
  const before = await standing();
  for (const words of [
    ['move', '10.77.0.100', 'node2'],
    ['drain', 'node1'],
    ['undrain', 'node1'],
  ]) {
    const { status, stderr } = runIn(all.node.node, [
      ...([process.execPath, program] as const),
      ...[...words, '--token-file', tokenFile, '--controller', 'http://127.0.0.1:9470'],
    ]);
    assert.equal(status, 1);
    assert.match(stderr, /node1 is a node: only an operator may change placements/);
  }
  assert.deepEqual(await standing(), before);
});

test('while the API server is down the controller admits agents by cached keys', { skip }, async () => {
  await all.cluster.killServer();
  await all.node.killAgent('SIGKILL');
  all.node.startAgent();
  await all.until('the agent is connected', async () => {
    const { nodes } = await all.node.controllerStatus();
    return nodes.find(({ name }) => name === 'node1')?.seq !== null && (await all.served()).length === 1;
  });
});
