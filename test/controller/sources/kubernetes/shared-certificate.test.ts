// The certificate of a Secret that another program maintains: while the Secret is invalid the server keeps
// the certificate that it had.
import { equal, match } from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { makeAuthority, makeServerPair, type Pair } from '../../../../src/controller/certificate.ts';
import type { ControllerConfig } from '../../../../src/controller/config.ts';
import { makeServer } from '../../../../src/controller/server.ts';
import type { ApiClient, ApiRequest } from '../../../../src/controller/sources/kubernetes/client.ts';
import { SharedCertificate } from '../../../../src/controller/sources/kubernetes/shared-certificate.ts';
import { untilTrue } from '../../../patience.ts';

const limit = { timeout: 20_000 };
const life = { subject: 'vipward', fromMs: Date.now(), days: 30 };
const authority = makeAuthority(life);
const made = (): Pair => makeServerPair(authority, ['localhost'], life);

interface Rig {
  /** The content of the Secret. */
  kept: Pair;
  /** How often it was read. */
  looks: number;
  readonly certificate: SharedCertificate;
  /** Throws if the API server is that of another cluster. */
  confirm: () => Promise<void>;
  /** The certificate that a client is shown. */
  readonly shown: () => Promise<string | undefined>;
}

async function rig(t: TestContext, kept: Pair): Promise<Rig> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const json = async ({ path }: ApiRequest): Promise<unknown> => {
    if (path.includes('/configmaps/')) return { data: { 'ca.crt': authority.cert } };
    all.looks++;
    const { cert, key } = all.kept;
    const data = { 'ca.crt': authority.cert, 'tls.crt': cert, 'tls.key': key };
    const texts = Object.entries(data).map(([name, text]) => [name, base64(text)]);
    return { metadata: { resourceVersion: '1' }, data: Object.fromEntries(texts) };
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const client = { json } as unknown as ApiClient;
  const certificate = new SharedCertificate({
    client,
    namespace: 'n',
    signal,
    random: () => 0,
    lookMs: 20,
    mayWrite: () => true,
    onProblem: () => undefined,
    confirm: () => all.confirm(),
  });
  const listener = () => undefined;
  const config = { tls: undefined } as unknown as ControllerConfig;
  const server = makeServer(config, { listener, signal, onError: listener, certificate });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const shown = async () => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const found = socket.getPeerX509Certificate()?.toString();
    socket.destroy();
    return found;
  };
  const all: Rig = { kept, looks: 0, certificate, shown, confirm: async () => undefined };
  const running = certificate.run();
  t.after(() => {
    stopping.abort();
    server.close();
    return running;
  });
  return all;
}

test('a key that does not match its certificate is a problem until it does', limit, async (t) => {
  const [right, other] = [made(), made()];
  const all = await rig(t, { cert: right.cert, key: other.key });
  match(await problem(all), /^Secret vipward-tls: .* mismatch: put a certificate and its key there/);
  const { looks } = all;
  await untilTrue(() => all.looks >= looks + 3);
  equal(all.certificate.problems().length, 1);
  all.kept = right;
  await untilTrue(() => all.certificate.problems().length === 0);
  equal(await all.shown(), right.cert);
});

test('a key that is replaced alone is a problem, and the former pair stays in use', limit, async (t) => {
  const right = made();
  const all = await rig(t, right);
  await untilTrue(() => all.certificate.pair.cert === right.cert);
  all.kept = { cert: right.cert, key: made().key };
  match(await problem(all), /^Secret vipward-tls: /);
  equal(await all.shown(), right.cert);
});

async function problem({ certificate }: Rig): Promise<string> {
  await untilTrue(() => certificate.problems().length > 0);
  return certificate.problems()[0]?.message ?? '';
}

test('the certificate of another cluster is not used', limit, async (t) => {
  const [right, other] = [made(), made()];
  const all = await rig(t, right);
  await untilTrue(() => all.looks > 0);
  let asked = 0;
  all.confirm = async () => {
    asked++;
    throw new Error('another cluster');
  };
  all.kept = other;
  await untilTrue(() => asked > 1);
  equal(all.certificate.problems()[0]?.message, 'another cluster');
  equal(await all.shown(), right.cert);
  all.confirm = async () => undefined;
  await untilTrue(async () => (await all.shown()) === other.cert);
});
