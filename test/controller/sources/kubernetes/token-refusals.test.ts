// Refused tokens are logged briefly and at a limited rate, whatever they contain.
import { deepEqual, match, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ControllerConfig } from '../../../../src/controller/config.ts';
import { makeIdentity } from '../../../../src/controller/kubernetes-identity.ts';
import type { ApiClient } from '../../../../src/controller/sources/kubernetes/client.ts';
import type { KubernetesConfig } from '../../../../src/controller/sources/kubernetes/config.ts';
import {
  type RefusedTokens,
  TokenRefusals,
} from '../../../../src/controller/sources/kubernetes/token-refusals.ts';
import type { Log } from '../../../../src/process/log.ts';

const minuteMs = 60_000;

function heard(t: TestContext): { readonly said: RefusedTokens[]; readonly refusals: TokenRefusals } {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: RefusedTokens[] = [];
  return { said, refusals: new TokenRefusals({ say: (refused) => said.push(refused) }) };
}

test('the first refusal is logged at once, and those of the next minute together', (t) => {
  const { said, refusals } = heard(t);
  for (const reason of ['a', 'b', 'c']) refusals.add(reason);
  deepEqual(said, [{ count: 1, reason: 'a' }]);
  t.mock.timers.tick(minuteMs);
  deepEqual(said.slice(1), [{ count: 2, reason: 'c' }]);
  t.mock.timers.tick(minuteMs);
  t.mock.timers.tick(minuteMs);
  refusals.add('d');
  deepEqual(said.slice(2), [{ count: 1, reason: 'd' }]);
});

test('1000 unsigned tokens with a long algorithm make one short line', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const lines: [RefusedTokens, string][] = [];
  const log = { warn: (...line: [RefusedTokens, string]) => lines.push(line) } as unknown as Log;
  const { signal } = new AbortController();
  const config = { keepsCertificate: false } as ControllerConfig;
  const given = { agentAccount: 'n/agent', agentAudience: 'vipward' } as KubernetesConfig;
  const client = {} as ApiClient;
  const { nodeOfToken } = makeIdentity(config, given, {
    log,
    client,
    signal,
    namespace: 'n',
    mayWrite: () => true,
    confirm: async () => undefined,
  });
  const head = Buffer.from(JSON.stringify({ alg: 'é'.repeat(8000) })).toString('base64url');
  for (let times = 0; times < 1000; times++) nodeOfToken?.(`${head}.e30.AA`);
  const [first] = lines;
  deepEqual([lines.length, first?.[1]], [1, 'agentTokenRefused']);
  match(first?.[0].reason ?? '', /^its algorithm é/);
  ok(Buffer.byteLength(first?.[0].reason ?? '') < 200);
});
