// The connections to the API server: which certificates they trust, and what an error says.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ApiError } from '../../../../src/controller/sources/kubernetes/client.ts';
import { type Certificate, certificate, noCertificates } from '../../../certificates.ts';
import { ending, folder } from '../../fixture.ts';
import { clientOf } from './client-of.ts';
import { FakeApi } from './fake-api.ts';

const pairOf = ({ pem, keyFile }: Certificate) => ({ cert: pem, key: readFileSync(keyFile) });

/** A server with that certificate, and the path of a client to it that trusts a CA file. */
async function rig(t: TestContext, pair: Certificate, more: object = {}) {
  const server = createServer(pairOf(pair), (_, response) => response.end('{}'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  ending(t).defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ca = join(folder(t), 'ca.pem');
  const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority': ca, ...more };
  const client = clientOf(cluster);
  ending(t).defer(() => client[Symbol.dispose]());
  const ask = () => client.json({ path: '/', signal: AbortSignal.timeout(10_000) });
  return { server, ca, ask };
}

test('a CA that is replaced in its file is trusted from the next request on', {
  skip: noCertificates,
}, async (t) => {
  const [first, second] = [
    certificate(folder(t), ['IP:127.0.0.1']),
    certificate(folder(t), ['IP:127.0.0.1']),
  ];
  const { server, ca, ask } = await rig(t, first);
  copyFileSync(first.certFile, ca);
  await ask();
  server.setSecureContext(pairOf(second));
  server.closeAllConnections();
  await rejects(ask(), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  copyFileSync(second.certFile, ca);
  await ask();
  copyFileSync(first.certFile, ca);
  await rejects(ask(), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'a former connection is not used');
  equal(server.listening, true);
});

test('tls-server-name is the name that the certificate must have', { skip: noCertificates }, async (t) => {
  const pair = certificate(folder(t), ['DNS:api.example']);
  for (const [name, code] of [
    ['api.example', null],
    ['other.example', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [undefined, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ] as const) {
    const { ca, ask } = await rig(t, pair, { 'tls-server-name': name });
    copyFileSync(pair.certFile, ca);
    if (code === null) await ask();
    else await rejects(ask(), { code });
  }
});

test('an error has the words of the server, and says whether the object or its namespace goes', async (t) => {
  await using api = await new FakeApi().listen();
  using client = clientOf({ server: api.url });
  const errorOf = async (code: number, answer: unknown) => {
    api.fault = (_, response) => {
      response.writeHead(code).end(typeof answer === 'string' ? answer : JSON.stringify(answer));
      return 'done';
    };
    const error = await client.json({ path: '/a', signal: t.signal }).catch((reason: unknown) => reason);
    return error instanceof ApiError ? [error.message, error.isNeedless] : error;
  };
  const message = 'not now';
  const causes = [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }];
  deepEqual(await errorOf(403, { message, details: { causes } }), ['GET /a: 403 not now', true]);
  deepEqual(await errorOf(403, { message, details: { causes: [null] } }), ['GET /a: 403 not now', false]);
  deepEqual(await errorOf(403, { message }), ['GET /a: 403 not now', false]);
  deepEqual(await errorOf(404, ' no such page '), ['GET /a: 404 no such page', true]);
  deepEqual(await errorOf(500, ''), ['GET /a: 500 Internal Server Error', false]);
});
