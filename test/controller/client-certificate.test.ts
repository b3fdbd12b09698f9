// What a client certificate allows, over real TLS: it admits the node that it names or the operator, and one
// of another CA admits nobody.
import { deepEqual, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { certificate, noCertificates } from '../certificates.ts';
import { logLines } from '../log-lines.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from '../protocol/agent-side.ts';
import { folder, runningController, service, type TestController } from './fixture.ts';

const limit = { timeout: 60_000, skip: noCertificates };

interface Shown {
  readonly cert: string;
  readonly key: string;
}

function made(t: TestContext, name: string): Shown {
  const { pem: cert, keyFile } = certificate(folder(t), [name]);
  return { cert, key: readFileSync(keyFile, 'utf8') };
}

/** A controller that trusts these clients, each of which is its own CA. */
async function believing(t: TestContext, clients: readonly Shown[]) {
  const server = certificate(folder(t), ['IP:127.0.0.1']);
  const clientCa = join(folder(t), 'clients.pem');
  writeFileSync(clientCa, clients.map(({ cert }) => cert).join(''));
  const argv = ['--tls-cert', server.certFile, '--tls-key', server.keyFile, '--client-ca', clientCa];
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  return { running, ca: server.pem };
}

async function undrain({ url }: TestController, options: RequestOptions): Promise<number | undefined> {
  const outgoing = request(`${url}/api/v1/undrain`, { method: 'POST', agent: false, ...options });
  outgoing.end('{"node":"n1"}');
  const [response] = await once(outgoing, 'response');
  response.resume();
  return response.statusCode;
}

/** The stream of a node that calls itself n1 and shows a certificate. */
function streamOf(t: TestContext, { url }: TestController, shown: Shown & { readonly ca: string }) {
  const credentials = async () => ({ token: undefined, ...shown });
  const { streams } = agentOf(t, [url.replace('https', 'wss')], { credentials });
  return { reason: () => streams.all[0]?.reason ?? '' };
}

/** Why such a stream was refused. */
async function refusalOf(...of: Parameters<typeof streamOf>): Promise<string> {
  const { reason } = streamOf(...of);
  await untilTrue(() => !['not connected yet', ''].includes(reason()));
  return reason();
}

test('a client certificate opens the stream of the node that it names, and no other', limit, async (t) => {
  const [n1, n2, operator] = ['node/n1', 'node/n2', 'operator'].map((who) => made(t, `URI:vipward://${who}`));
  if (n1 === undefined || n2 === undefined || operator === undefined) throw new Error('three were made');
  const { running, ca } = await believing(t, [n1, n2, operator]);
  match(await refusalOf(t, running, { ...n2, ca }), /^node: the credential is that of n2, not of n1/);
  deepEqual(
    running.status().refusedStreams.map(({ node, code }) => [node, code]),
    [['n2', 1008]],
  );
  match(await refusalOf(t, running, { ...operator, ca }), /^the controller answered 401: /);
  const another = made(t, 'URI:vipward://node/n1');
  match(await refusalOf(t, running, { ...another, ca }), /^the controller answered 401: /);
  streamOf(t, running, { ...n1, ca });
  await untilTrue(() => running.status().nodes.some(({ name, connected }) => name === 'n1' && connected));
  deepEqual(
    running.status().nodes.map(({ name }) => name),
    ['n1'],
  );
});

test('undrain needs the client certificate of the operator', limit, async (t) => {
  const [n1, operator, named] = ['URI:vipward://node/n1', 'URI:vipward://operator', 'DNS:operator'].map(
    (name) => made(t, name),
  );
  if (n1 === undefined || operator === undefined || named === undefined) throw new Error('three were made');
  const { running, ca } = await believing(t, [n1, operator, named]);
  streamOf(t, running, { ...n1, ca });
  await untilTrue(() => running.status().nodes.length === 1);
  const another = made(t, 'URI:vipward://operator');
  const codes: (number | undefined)[] = [];
  for (const shown of [{}, another, named, n1, operator])
    codes.push(await undrain(running, { ca, ...shown }));
  deepEqual(codes, [401, 401, 401, 403, 200]);
});

test(
  'a client that does not finish its TLS handshake is disconnected after five seconds',
  limit,
  async (t) => {
    const { running } = await believing(t, [made(t, 'URI:vipward://node/n1')]);
    const beganMs = performance.now();
    const socket = connect(Number(new URL(running.url).port), '127.0.0.1').on('error', () => undefined);
    t.after(() => socket.destroy());
    await once(socket, 'close');
    const tookMs = performance.now() - beganMs;
    ok(tookMs > 4000 && tookMs < 30_000, `${tookMs}`);
  },
);

test(
  'a renewed certificate is shown once its key is there too, and until then the former one',
  limit,
  async (t) => {
    const { log, lines } = logLines();
    const [server, renewed] = [1, 2].map(() => certificate(folder(t), ['IP:127.0.0.1']));
    if (server === undefined || renewed === undefined) throw new Error('two were made');
    const argv = ['--tls-cert', server.certFile, '--tls-key', server.keyFile];
    const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv, log });
    const answers = async (ca: string) => (await undrain(running, { ca }).catch(String)) === 409;
    const events = () => lines.flatMap(({ event }) => (/^certificate/.test(event) ? [event] : []));
    const former = server.pem;
    ok(await answers(former));
    writeFileSync(server.certFile, renewed.pem);
    await untilTrue(() => events().length > 0);
    ok(await answers(former));
    writeFileSync(server.keyFile, readFileSync(renewed.keyFile));
    await untilTrue(() => events().length > 1);
    deepEqual(events(), ['certificateRefused', 'certificateRead']);
    deepEqual([await answers(renewed.pem), await answers(former)], [true, false]);
  },
);
