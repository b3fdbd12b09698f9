// Refused tokens are logged briefly and at a limited rate, whatever they contain.
import { deepEqual, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { ControllerConfig } from '../../../../src/controller/config.ts';
import { makeIdentity } from '../../../../src/controller/kubernetes-identity.ts';
import type { ApiClient } from '../../../../src/controller/sources/kubernetes/client.ts';
import type { KubernetesConfig } from '../../../../src/controller/sources/kubernetes/config.ts';
import type { Log } from '../../../../src/process/log.ts';

test('1000 unsigned tokens with a long algorithm make one short line', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  type Line = [{ readonly count: number; readonly reason: string }, string];
  const lines: Line[] = [];
  const log = { warn: (...line: Line) => lines.push(line) } as unknown as Log;
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
  t.mock.timers.tick(60_000);
  deepEqual(
    lines.map(([{ count }]) => count),
    [1, 999],
  );
});
