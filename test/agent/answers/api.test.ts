// What an agent asks its kernel to answer HTTP requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Agent } from '../../../src/agent/agent.ts';
import { agentRoutes } from '../../../src/agent/answers/api.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { Tallies } from '../../../src/agent/tallies.ts';
import { tracer } from '../../../src/dialects/nftables/trace.ts';
import { SystemCallError } from '../../../src/host/socket.ts';
import type { Reply, Route } from '../../../src/process/http.ts';
import type { Address } from '../../../src/state/address.ts';
import { seriesValue } from '../../metrics-page.ts';
import { patient } from '../../patience.ts';

const limit = { timeout: patient(20_000) };

/** An agent whose kernel answers when a test says so. */
function fixture() {
  const asked: PromiseWithResolvers<never>[] = [];
  const ask = (): Promise<never> => {
    const answer = Promise.withResolvers<never>();
    asked.push(answer);
    return answer.promise;
  };
  const [ledger, loop] = [new Ledger(), { settled: false, inSync: false }];
  const agent = {
    version: '0',
    ledger,
    tallies: new Tallies(),
    announcer: { unsent: 0 },
    loop,
    session: { problems: [] },
    logDestination: { dropped: 0 },
    kernel: { dump: ask, ask },
    firewall: { dialect: { dumps: [] }, counters: ask, sampler: { dumps: [] }, tracer },
    config: { values: { filter: 'observe' } },
  } as unknown as Agent;
  const routes = agentRoutes(agent);
  const get = async (path: string, listener: 'own' | 'open' = 'own'): Promise<Reply> => {
    const url = new URL(path, 'http://localhost');
    const route = routes[listener].find((one) => one.path === url.pathname);
    assert.ok(route, path);
    const { signal } = new AbortController();
    const request = { url, signal, message: { socket: { destroyed: false } } };
    return await route.handle(request as Parameters<Route['handle']>[0]);
  };
  return { asked, get, ledger, loop, routes };
}

test('scrapers get metrics and health, and nothing that says more of this host', () => {
  const paths = ({ path }: Route): string => path;
  const { own, open } = fixture().routes;
  assert.deepEqual(open.map(paths), ['/healthz', '/readyz', '/metrics']);
  assert.deepEqual(own.slice(open.length).map(paths), ['/status', '/explain', '/diff', '/would-drop']);
});

test('concurrent scrapes read the counters once', async () => {
  const { asked, get } = fixture();
  const scrapes = [get('/metrics'), get('/metrics', 'open'), get('/metrics', 'open')];
  assert.equal(asked.length, 1);
  asked[0]?.resolve(new Map([['10.0.0.1' as Address, { dropped: 7, ports: [] }]]) as never);
  for (const { body } of await Promise.all(scrapes))
    assert.equal(seriesValue(String(body), 'vipward_dropped_packets_total'), 7);
  const next = get('/metrics');
  assert.equal(asked.length, 2, 'a later scrape reads the counters again');
  asked[1]?.resolve(new Map() as never);
  await next;
});

test('a kernel that does not answer costs a scrape its counters, and 0.3 s', limit, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { get } = fixture();
  let isAnswered = false;
  const scrape = get('/metrics').finally(() => {
    isAnswered = true;
  });
  t.mock.timers.tick(299);
  await nextTurn();
  assert.equal(isAnswered, false);
  t.mock.timers.tick(1);
  assert.equal(seriesValue(String((await scrape).body), 'vipward_dropped_packets_total'), 0);
});

for (const path of ['/diff', '/would-drop']) {
  test(`concurrent requests for ${path} read the kernel once`, async () => {
    const { asked, get } = fixture();
    const answers = [get(path), get(path)];
    assert.equal(asked.length, 1);
    asked[0]?.reject(new SystemCallError('nfnetlink dump', 1));
    await Promise.all(answers);
    const again = get(path);
    assert.equal(asked.length, 2);
    asked[1]?.reject(new SystemCallError('nfnetlink dump', 1));
    await again;
  });
}

test('an error of the kernel is answered with 503, SystemCall and its message', async () => {
  for (const path of ['/diff', '/would-drop', '/explain?address=10.0.0.1&port=80&protocol=TCP']) {
    const { asked, get } = fixture();
    const answer = get(path);
    await nextTurn();
    asked[0]?.reject(new SystemCallError('nfnetlink dump', 1, ' (again)'));
    const { status, body } = await answer;
    const { code, message } = (body as { error: { code: string; message: string } }).error;
    assert.deepEqual([status, code], [503, 'SystemCall'], path);
    assert.match(message, /nfnetlink dump: EPERM.* \(again\)$/);
  }
});

test('/explain answers a wrong parameter with its name and value', async () => {
  for (const [query, code, message] of [
    ['', 'BadAddress', 'address: expected an IPv4 or IPv6 address, got ""'],
    ['address=web&port=80', 'BadAddress', 'address: expected an IPv4 or IPv6 address, got "web"'],
    ['address=10.0.0.1', 'BadPort', 'port: expected 1-65535, got ""'],
    ['address=10.0.0.1&port=80x', 'BadPort', 'port: expected 1-65535, got "80x"'],
    ['address=10.0.0.1&port=65536', 'BadPort', 'port: expected 1-65535, got 65536'],
    ['address=10.0.0.1&port=80&protocol=ICMP', 'BadPort', 'protocol: expected TCP, UDP or SCTP, got "ICMP"'],
    ['address=10.0.0.1&port=80&from=me', 'BadAddress', 'from: expected an IPv4 or IPv6 address, got "me"'],
  ] as const) {
    const { status, body } = await fixture().get(`/explain?${query}`);
    const { error } = body as { error: { code: string; message: string } };
    assert.deepEqual([status, error.code, error.message], [400, code, message]);
  }
});

test('an agent is ready once rules of its disk or a controller are in force, and stays ready', async () => {
  const codeOf = async ({ get }: ReturnType<typeof fixture>) => {
    const { status, body } = await get('/readyz', 'open');
    return [status, (body as { error?: { code: string } }).error?.code];
  };
  const [fresh, fromDisk, synced] = [fixture(), fixture(), fixture()];
  const address = '10.0.0.1' as Address;
  fromDisk.ledger.committed.set(address, { address, filtered: true, egress: false, ports: [] });
  // A controller has sent its tables, and the kernel has not taken them yet.
  synced.loop.inSync = true;
  for (const agent of [fresh, synced]) assert.deepEqual(await codeOf(agent), [503, 'NotReady']);
  synced.loop.settled = true;
  for (const agent of [fromDisk, synced]) assert.deepEqual(await codeOf(agent), [200, undefined]);
  fromDisk.ledger.committed.clear();
  synced.loop.settled = false;
  for (const agent of [fromDisk, synced]) assert.deepEqual(await codeOf(agent), [200, undefined]);
});
