// Parsing of what the API server and a kubeconfig contain: events, pages, waits, contexts.
import { deepEqual, equal, match, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FieldError } from '../../../../src/controller/sources/fields.ts';
import { backoffMs, retryAfterMs } from '../../../../src/controller/sources/kubernetes/backoff.ts';
import { parseExecCredential } from '../../../../src/controller/sources/kubernetes/exec-plugin.ts';
import { readKubeconfig } from '../../../../src/controller/sources/kubernetes/kubeconfig.ts';
import { parseListPage, parseWatchEvent } from '../../../../src/controller/sources/kubernetes/watch-event.ts';
import { changed, endsWell } from '../../../hostile-values.ts';
import { configOf } from '../../fixture.ts';
import { cutService } from './cut-service.ts';

const metadata = { name: 'web', namespace: 'demo', resourceVersion: '7' };
const event = (type: string, object: object) => parseWatchEvent(JSON.stringify({ type, object }));

test('--allow-opt-out names the namespaces that may open all ports or use delivery host', async () => {
  const out = { 'vipward.io/only-service-ports': 'false' };
  const spec = { type: 'LoadBalancer', ports: [{ port: 80 }] };
  const refusalIn = async (namespace: string, allowed: string, annotations: object = out) => {
    const flags = ['--kubernetes', '--pool', 'p=10.0.0.0/24', '--allow-opt-out', allowed];
    const { source } = await configOf(flags);
    if (source.kind !== 'kubernetes') throw new TypeError(source.kind);
    const object = { metadata: { name: 'web', namespace, annotations }, spec };
    const entry = cutService(object, source.mayOptOut);
    return entry.kind === 'service' ? (entry.service.refusal?.reason ?? 'served') : entry.kind;
  };
  deepEqual(
    await Promise.all(['any', 'none', 'demo,other', 'other'].map((allowed) => refusalIn('demo', allowed))),
    ['served', 'Forbidden', 'served', 'Forbidden'],
  );
  const host = { 'vipward.io/delivery': 'host' };
  const forward = { 'vipward.io/delivery': 'forward', 'vipward.io/egress': 'true' };
  deepEqual(
    await Promise.all([
      ...['any', 'none', 'demo', 'other'].map((allowed) => refusalIn('demo', allowed, host)),
      ...[forward, {}].map((annotations) => refusalIn('demo', 'none', annotations)),
    ]),
    ['served', 'Forbidden', 'served', 'Forbidden', 'served', 'served'],
  );
  await rejects(refusalIn('demo', 'any,other'), /--allow-opt-out any,other: expected any, none, or names/);
});

test('a PreferDualStack Service with one IP family gets addresses of that family only', () => {
  const wishOf = (ipFamilies: readonly string[]) => {
    const ports = [{ port: 80 }];
    const spec = { type: 'LoadBalancer', ipFamilyPolicy: 'PreferDualStack', ipFamilies, ports };
    const entry = cutService({ metadata, spec });
    return entry.kind === 'service' ? entry.service.wish : entry.kind;
  };
  deepEqual(wishOf(['IPv4']), { families: [4], policy: 'SingleStack' });
  deepEqual(wishOf(['IPv6', 'IPv4']), { families: [6, 4], policy: 'PreferDualStack' });
});

test('--leader-elect-retry-period is at least 100ms', async () => {
  const of = (period: string) =>
    configOf(['--kubernetes', '--pool', 'p=10.0.0.0/24', '--leader-elect-retry-period', period]);
  for (const period of ['0', '99ms'])
    await rejects(of(period), /--leader-elect-retry-period: expected 100ms or more, got (0|99)ms$/);
  equal((await of('100ms')).source.kind, 'kubernetes');
});

test('--advertise takes an address of either family or a name, with the port of --listen', async () => {
  const told = async (advertise: string, listen = '127.0.0.1:9470') => {
    const flags = ['--kubernetes', '--pool', 'p=10.0.0.0/24', '--listen', listen];
    const { source } = await configOf([...flags, `--advertise=${advertise}`]);
    return source.kind === 'kubernetes' ? source.advertise : null;
  };
  equal(await told('10.0.0.1'), '10.0.0.1:9470');
  equal(await told('fd77::5'), '[fd77::5]:9470');
  equal(await told('[fd77::5]', '127.0.0.1:9000'), '[fd77::5]:9000');
  equal(await told('[fd77::5]:9443'), '[fd77::5]:9443');
  equal(await told('c1.example:9443'), 'c1.example:9443');
  for (const wrong of ['', ':9470', '$(POD_IP)', 'fd77::x:9470', '10.0.0.1:70000', 'http://10.0.0.1:9470'])
    await rejects(told(wrong), /--advertise/);
});

test('each type of watch event is recognised, and an unknown type is an error', () => {
  deepEqual(event('ADDED', { metadata }), {
    kind: 'set',
    key: 'demo/web',
    resourceVersion: '7',
    object: { metadata },
  });
  equal(event('MODIFIED', { metadata }).kind, 'set');
  equal(event('DELETED', { metadata: { name: 'node1', resourceVersion: '8' } }).kind, 'remove');
  deepEqual(event('BOOKMARK', { metadata: { resourceVersion: '9' } }), {
    kind: 'bookmark',
    resourceVersion: '9',
  });
  deepEqual(event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }), {
    kind: 'error',
    code: 410,
    message: 'too old',
  });
  throws(() => event('RENAMED', { metadata }), FieldError);
});

test('arbitrary JSON as a watch event ends in an event, a FieldError or a SyntaxError', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        parseWatchEvent(text);
      } catch (error) {
        ok(error instanceof FieldError || error instanceof SyntaxError, String(error));
      }
    }),
  );
});

test('a changed kubeconfig ends in the access to a cluster or a FieldError', async () => {
  const user = {
    'client-certificate-data': 'QUJD',
    'client-key-data': 'QUJD',
    token: 't',
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'login',
      args: ['--quiet'],
      env: [{ name: 'A', value: 'b' }],
      provideClusterInfo: true,
    },
  };
  const cluster = {
    server: 'https://10.0.0.1:6443',
    'certificate-authority-data': 'QUJD',
    extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } }],
  };
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u', namespace: 'n' } }],
    clusters: [{ name: 'k', cluster }],
    users: [{ name: 'u', user }],
  };
  const access = (value: unknown) => readKubeconfig({ value, context: null, resolve: (path) => path });
  const property = fc.asyncProperty(changed(config), (value) => endsWell(() => access(value), FieldError));
  await fc.assert(property, { numRuns: 1000 });
  const spoilt = { ...user, 'client-key-data': '-----BEGIN' };
  const message = 'client-key-data: expected base64';
  throws(() => access({ ...config, users: [{ name: 'u', user: spoilt }] }), { code: 'BadField', message });
});

test('a page without items or resourceVersion is an error, and not an empty page', () => {
  const page = { metadata: { resourceVersion: '5', continue: '' }, items: [{ metadata }] };
  deepEqual(parseListPage(page).next, null);
  equal(parseListPage({ ...page, metadata: { resourceVersion: '5', continue: 'x' } }).next, 'x');
  throws(() => parseListPage({ metadata: page.metadata }), /items/);
  throws(() => parseListPage({ ...page, metadata: {} }), /resourceVersion/);
  throws(() => parseListPage({ kind: 'Status', status: 'Failure' }), FieldError);
});

test('waits after failures are random between 25 ms and 2 s, and follow Retry-After up to a minute', () => {
  equal(backoffMs(1, 0), 25);
  equal(backoffMs(3, 0.5), 150);
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const ms = backoffMs(failures, random);
      ok(ms >= 25 && ms <= 2000);
    }),
  );
  equal(retryAfterMs('3', 0), 3000);
  equal(retryAfterMs('Thu, 01 Jan 1970 00:00:09 GMT', 4000), 5000);
  equal(retryAfterMs('86400', 0), 60_000);
  deepEqual([retryAfterMs(undefined, 0), retryAfterMs('soon', 0)], [null, null]);
});

const base = {
  'current-context': 'a',
  contexts: [
    { name: 'a', context: { cluster: 'c', user: 'u', namespace: 'ns' } },
    { name: 'b', context: { cluster: 'c' } },
  ],
  clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/k8s', 'tls-server-name': 'api' } }],
  users: [{ name: 'u', user: { tokenFile: 'token' } }],
};
const read = (changes: object = {}, context: string | null = null) =>
  readKubeconfig({ value: { ...base, ...changes }, context, resolve: (path) => `/etc/${path}` });
const asUser = (user: object) => read({ users: [{ name: 'u', user }] });

test('a kubeconfig gives the server and the credential of its context', () => {
  const { server, token, serverName, namespace, isVerified } = read();
  deepEqual([server.href, token, serverName], ['https://10.0.0.1:6443/k8s', { file: '/etc/token' }, 'api']);
  deepEqual([namespace, isVerified], ['ns', true]);
  equal(read({}, 'b').token, null);
  deepEqual(asUser({ token: 't' }).token, { text: 't' });
  deepEqual(asUser({ username: 'me', password: 'x' }).basic, { username: 'me', password: 'x' });
  const pair = { 'client-certificate-data': btoa('CERT'), 'client-key': 'key.pem' };
  deepEqual(asUser(pair).certificate, { cert: { text: 'CERT' }, key: { file: '/etc/key.pem' } });
  const plugin = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'get-token',
    args: ['-x'],
    env: null,
  };
  deepEqual(asUser({ exec: plugin }).exec, { ...plugin, env: [] });
});

test('an invalid or unsupported kubeconfig is refused by the name of its field', () => {
  throws(() => read({}, 'z'), /contexts: no context is named "z"; there are: a, b/);
  throws(() => read({ users: [] }), /users: no user is named "u"; there are: none/);
  throws(() => read({ clusters: [{ name: 'c', cluster: { server: 'ftp://x' } }] }), /cluster\.server/);
  throws(() => asUser({ 'client-certificate': 'x' }), /client-key/);
  throws(() => asUser({ 'auth-provider': { name: 'gcp' } }), /user\.auth-provider: not supported: use exec/);
  throws(() => asUser({ as: 'root' }), /user\.as: not supported/);
});

test('an ExecCredential is read with its expiry time', () => {
  const status = { token: 'abc', expirationTimestamp: '2030-01-01T00:00:00Z' };
  const expiresMs = Date.UTC(2030, 0, 1);
  deepEqual(parseExecCredential({ status }), { token: 'abc', certificate: null, expiresMs });
  throws(() => parseExecCredential({ status: { token: 5 } }), /status\.token/);
  throws(
    () => parseExecCredential({}),
    (error: Error) => {
      match(error.message, /status/);
      return error instanceof FieldError;
    },
  );
});
