// The cluster's keys for the tokens of agents: kept in memory, and read again for a key that is new.
import { deepEqual, equal } from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentTokens } from '../../../../src/controller/sources/kubernetes/agent-tokens.ts';
import type { ApiClient, ApiRequest } from '../../../../src/controller/sources/kubernetes/client.ts';
import { untilTrue } from '../../../patience.ts';

const pairs = {
  old: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  new: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
type Name = keyof typeof pairs;

function token(kid: Name): string {
  const claims = {
    aud: ['vipward'],
    exp: Date.now() / 1000 + 600,
    sub: 'system:serviceaccount:ns:agents',
    'kubernetes.io': { node: { name: `node-of-${kid}` } },
  };
  const text = [{ alg: 'ES256', kid }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const key: KeyObject = pairs[kid].privateKey;
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** The tokens of a cluster that has these keys. */
function rig(t: TestContext) {
  const made = {
    /** The keys of the cluster; none while it cannot be read. */
    keys: ['old'] as readonly Name[],
    reads: 0,
    /** How far the clock is ahead. */
    aheadMs: 0,
    isOther: false,
    refused: [] as string[],
  };
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + made.aheadMs);
  const json = async ({ path }: ApiRequest): Promise<unknown> => {
    equal(path, '/openid/v1/jwks');
    made.reads++;
    if (made.keys.length === 0) throw new Error('the API server is away');
    return { keys: made.keys.map((kid) => ({ ...pairs[kid].publicKey.export({ format: 'jwk' }), kid })) };
  };
  const stopping = new AbortController();
  const tokens = new AgentTokens({
    client: { json } as unknown as ApiClient,
    confirm: async () => {
      if (made.isOther) throw new Error('another cluster');
    },
    audience: 'vipward',
    account: 'ns/agents',
    signal: stopping.signal,
    random: () => 1,
    onRefused: (reason) => made.refused.push(reason),
  });
  const begin = () => {
    const running = tokens.run();
    t.after(() => {
      stopping.abort();
      return running;
    });
  };
  return { made, tokens, begin };
}

test('a key that is new is read again, but at most every five seconds', async (t) => {
  const { made, tokens, begin } = rig(t);
  begin();
  await untilTrue(() => tokens.nodeOf(token('old')) === 'node-of-old');
  made.keys = ['old', 'new'];
  made.aheadMs = 4500;
  equal(tokens.nodeOf(token('new')), null);
  await sleep(50);
  equal(made.reads, 1);
  made.aheadMs = 5001;
  equal(tokens.nodeOf(token('new')), null);
  await untilTrue(() => made.reads === 2 && tokens.nodeOf(token('new')) === 'node-of-new');
  equal(tokens.nodeOf(token('old')), 'node-of-old');
  equal(made.refused.at(-1), 'its key is not a key of the cluster');
});

test('while the keys cannot be read those in memory count, and the reason is a problem', async (t) => {
  const { made, tokens, begin } = rig(t);
  begin();
  await untilTrue(() => tokens.nodeOf(token('old')) === 'node-of-old');
  made.keys = [];
  made.aheadMs = 5001;
  tokens.nodeOf(token('new'));
  await untilTrue(() => made.reads >= 3);
  equal(tokens.nodeOf(token('old')), 'node-of-old');
  deepEqual(
    tokens.problems().map(({ file, message }) => [file, message]),
    [['/openid/v1/jwks', 'the API server is away']],
  );
  made.keys = ['old'];
  await untilTrue(() => tokens.problems().length === 0);
});

test('the keys of another cluster are not read', async (t) => {
  const { made, tokens, begin } = rig(t);
  made.isOther = true;
  begin();
  await untilTrue(() => tokens.problems()[0]?.message === 'another cluster');
  deepEqual([made.reads, tokens.nodeOf(token('old'))], [0, null]);
});
