// The certificate of a Secret that another program maintains: while the Secret is invalid the server keeps
// the certificate that it had.
import { equal, match } from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** The controller is the leader. */
  rules: boolean;
  readonly certificate: SharedCertificate;
  /** Throws if the API server is that of another cluster. */
  confirm: () => Promise<void>;
  /** The certificate that a client is shown. */
  readonly shown: () => Promise<string | undefined>;
}

async function rig(t: TestContext, kept: Pair, { isOurs = false, rules = true } = {}): Promise<Rig> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const json = async ({ method, path, body }: ApiRequest): Promise<unknown> => {
    if (path.includes('/configmaps/')) return { data: { 'ca.crt': authority.cert } };
    if (method === 'PUT') {
      const { stringData } = body as { stringData: Readonly<Record<string, string>> };
      all.kept = { cert: stringData['tls.crt'] ?? '', key: stringData['tls.key'] ?? '' };
    } else all.looks++;
    const { cert, key } = all.kept;
    const ofAuthority = isOurs ? { 'ca.key': authority.key } : {};
    const data = { 'ca.crt': authority.cert, ...ofAuthority, 'tls.crt': cert, 'tls.key': key };
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
    mayWrite: () => all.rules,
    onProblem: () => undefined,
    confirm: () => all.confirm(),
  });
  const listener = () => undefined;
  const config = { tls: undefined } as unknown as ControllerConfig;
  const server = makeServer(config, { listener, signal, onRead: listener, onError: listener, certificate });
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
  const all: Rig = { kept, looks: 0, rules, certificate, shown, confirm: async () => undefined };
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

/** A pair of 90 days that is so old. */
function aged(days: number): Pair {
  const fromMs = Date.now() - days * 24 * 60 * 60 * 1000;
  return makeServerPair(authority, ['localhost'], { subject: 'old', fromMs, days: 90 });
}

/** Waits until the Secret was read a few times more. */
async function lookedAt(all: Rig): Promise<void> {
  const { looks } = all;
  await untilTrue(() => all.looks >= looks + 3);
}

test('the leader renews the certificate after two thirds of its life, and not before', limit, async (t) => {
  const young = await rig(t, aged(59), { isOurs: true });
  await lookedAt(young);
  match(subjectOf(young.kept), /CN=old/);
  const old = await rig(t, aged(61), { isOurs: true });
  await untilTrue(() => subjectOf(old.kept).includes('CN=vipward-controller'));
  await untilTrue(async () => (await old.shown()) === old.kept.cert);
  const foreign = await rig(t, aged(61));
  await lookedAt(foreign);
  match(subjectOf(foreign.kept), /CN=old/, 'without the key of the authority it is of somebody else');
});

test('a standby renews no certificate before it leads', limit, async (t) => {
  const all = await rig(t, aged(61), { isOurs: true, rules: false });
  await untilTrue(() => all.looks > 0);
  await sleep(100);
  match(subjectOf(all.kept), /CN=old/);
  all.rules = true;
  await untilTrue(() => subjectOf(all.kept).includes('CN=vipward-controller'));
});

function subjectOf({ cert }: Pair): string {
  return new X509Certificate(cert).subject;
}
