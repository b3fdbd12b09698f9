// An agent without a firewall stays up, says why on /status, and starts when there is one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent } from '../../src/agent/agent.ts';
import type { AgentConfig } from '../../src/agent/config.ts';
import { NoFirewallError } from '../../src/agent/firewall/firewall.ts';
import { type StartParts, startWhenPossible } from '../../src/agent/start-when-possible.ts';
import type { Route } from '../../src/process/http.ts';
import type { Log } from '../../src/process/log.ts';
import { seriesValue } from '../metrics-page.ts';

const notStarted = {
  code: 'NotStarted',
  message: 'ip_tables: modprobe ip_tables ip6_tables',
  next: 'run vipward doctor',
};

function fixture(start: () => Promise<Agent>) {
  let routes: Record<'own' | 'open', readonly Route[]> = { own: [], open: [] };
  const stop = new AbortController();
  const parts: StartParts = {
    config: { node: 'node1', values: { filter: 'enforce' } } as unknown as AgentConfig,
    version: '0',
    signal: stop.signal,
    log: { error() {} } as unknown as Log,
    start,
    show: (own, open) => {
      routes = { own, open };
    },
  };
  const answer = async (path: string, server: 'own' | 'open' = 'own') => {
    const route = routes[server].find((one) => one.path === path);
    return await route?.handle({} as Parameters<Route['handle']>[0]);
  };
  return { parts, stop, answer };
}

test('/status names what is missing until there is a firewall, and then the agent starts', async () => {
  const agent = {} as Agent;
  let tries = 0;
  const { parts, answer } = fixture(async () => {
    if (++tries > 1) return agent;
    throw new NoFirewallError('ip_tables: modprobe ip_tables ip6_tables');
  });
  const started = startWhenPossible(parts);
  await new Promise((resolve) => setImmediate(resolve));
  const status = (await answer('/status')) as { body: { problems: string[]; inSync: boolean } };
  assert.deepEqual(status.body.problems, ['ip_tables: modprobe ip_tables ip6_tables']);
  assert.equal(status.body.inSync, false);
  assert.equal(((await answer('/readyz')) as { status: number }).status, 503);
  for (const question of ['/diff', '/explain', '/would-drop']) {
    const { status: code, body } = (await answer(question)) as { status: number; body: { error: object } };
    assert.deepEqual([code, body.error], [503, notStarted]);
  }
  assert.equal(((await answer('/healthz')) as { status: number }).status, 200);
  assert.equal(await started, agent);
});

test('an agent that waits for a firewall is not in sync in /metrics, and has no open /status', async () => {
  const { parts, stop, answer } = fixture(async () => {
    throw new NoFirewallError('nothing here');
  });
  const started = startWhenPossible(parts);
  for (const server of ['own', 'open'] as const) {
    const metrics = await answer('/metrics', server);
    assert.match(metrics?.contentType ?? '', /^text\/plain/);
    assert.equal(seriesValue(String(metrics?.body), 'vipward_agent_in_sync'), 0);
    const build = `vipward_build_info{version="0",nodejs="${process.version}"}`;
    assert.equal(seriesValue(String(metrics?.body), build), 1);
    assert.equal((await answer('/readyz', server))?.status, 503);
    assert.equal((await answer('/healthz', server))?.status, 200);
  }
  assert.equal(await answer('/status', 'open'), undefined);
  stop.abort();
  await started;
});

test('an agent that waits for a firewall ends when aborted, and other errors end it at once', async () => {
  const { parts, stop } = fixture(async () => {
    throw new NoFirewallError('nothing here');
  });
  const started = startWhenPossible(parts);
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.equal(await started, undefined);
  const { parts: others } = fixture(async () => {
    throw new TypeError('another');
  });
  await assert.rejects(startWhenPossible(others), TypeError);
});
