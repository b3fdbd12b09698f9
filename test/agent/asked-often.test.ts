// Any process on the node may request /explain at any rate: no change of rules waits for that.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Agent } from '../../src/agent/agent.ts';
import { agentRoutes } from '../../src/agent/answers/api.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import type { DumpRequest } from '../../src/dialects/dialect.ts';
import { ruleDump } from '../../src/dialects/nftables/dumps.ts';
import { tracer } from '../../src/dialects/nftables/trace.ts';
import type { Reply, RouteRequest } from '../../src/process/http.ts';

const path = '/explain?address=10.0.0.1&port=80&protocol=TCP';
const rulesAsked = Buffer.from(ruleDump().bytes).toString('hex');

/** An agent whose kernel answers each question with nothing, in the next turn of the event loop. */
function fixture() {
  const asked: string[] = [];
  let [waiting, mostWaiting] = [0, 0];
  const ask = async ({ bytes }: Pick<DumpRequest, 'bytes'>): Promise<Uint8Array> => {
    asked.push(Buffer.from(bytes).toString('hex'));
    mostWaiting = Math.max(mostWaiting, ++waiting);
    await nextTurn();
    waiting--;
    return new Uint8Array();
  };
  const dump = (requests: readonly DumpRequest[]) => Promise.all(requests.map(() => new Uint8Array()));
  const agent = {
    kernel: { ask, dump },
    ledger: new Ledger(),
    config: { values: { filter: 'enforce' } },
    firewall: { dialect: { name: 'nftables', dumps: [] }, tracer },
  } as unknown as Agent;
  const route = agentRoutes(agent).own.find((one) => one.path === '/explain');
  const get = async (client = new AbortController()): Promise<Reply | undefined> => {
    const url = new URL(path, 'http://localhost');
    const request = { url, signal: client.signal, message: { socket: { destroyed: false } } };
    return await route?.handle(request as RouteRequest);
  };
  const readings = () => asked.filter((bytes) => bytes === rulesAsked).length;
  return { asked, get, readings, mostWaiting: () => mostWaiting };
}

test('/explain reads foreign rules once for all requests within two seconds, then again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { get, readings } = fixture();
  const replies = await Promise.all(Array.from({ length: 60 }, () => get()));
  deepEqual([...new Set(replies.map((reply) => reply?.status))], [200]);
  t.mock.timers.tick(1999);
  equal((await get())?.status, 200);
  equal(readings(), 1);
  t.mock.timers.tick(1);
  await get();
  equal(readings(), 2);
});

test('/explain asks the kernel one question at a time, and none for a client that has gone', async () => {
  const { asked, get, mostWaiting } = fixture();
  const clients = Array.from({ length: 60 }, () => new AbortController());
  const answers = clients.map((client) => get(client));
  for (const client of clients.slice(1)) client.abort();
  const [first] = await Promise.all(answers);
  equal(first?.status, 200);
  // The packet, foreign chains and foreign rules.
  deepEqual([asked.length, mostWaiting()], [3, 1]);
});
