// A node has one connection, the one that said hello last, whether the controller rules or stands by.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { Controller } from '../../src/controller/controller.ts';
import { Hub, type HubInput } from '../../src/controller/hub.ts';
import { noRecords } from '../../src/controller/records/records.ts';
import { type Closing, Sessions } from '../../src/controller/sessions.ts';
import { frameLimitBytes, heldLimit } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { generationLeap, highestHeard } from '../../src/state/term.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };
const connectionLimit = 8;

/** A hub on a free port; it stands by until it is told to rule. */
async function hubOf(
  context: TestContext,
  authenticate: HubInput['authenticate'] = () => ({ node: null }),
  isOpen = () => true,
) {
  const quiet = () => undefined;
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: [],
    filterByDefault: true,
    onChange: quiet,
    nowMs: () => performance.now(),
  });
  const quietly = { generationRaised: quiet, refused: quiet, impossibleTerm: quiet, progressed: quiet };
  const closed: ({ readonly node: string } & Closing)[] = [];
  const [errors, turnedAway] = [[] as string[], [] as string[]];
  const role = { ruling: false };
  const hub = new Hub({
    sessions: new Sessions(controller, quietly),
    authenticate,
    isOpen,
    onTurnedAway: ({ reason }) => turnedAway.push(reason),
    onError: (error) => errors.push(String(error)),
    self: () => ({ version: '0', cluster: 'c', generation: 1, ruling: role.ruling }),
    onGreeted: quiet,
    onClosed: (node, how) => closed.push({ node, ...how }),
    connectionLimit,
    helloTimeoutMs: 5000,
  });
  const server = createServer();
  hub.attach(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  context.after(() => {
    hub.terminate();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rule = () => {
    role.ruling = true;
    controller.publish({ set: [], remove: [] });
    hub.begin();
  };
  return { url, hub, controller, closed, errors, turnedAway, rule };
}

const replaced =
  'another connection said hello as n1, from 127.0.0.1; if that is another node, change its --node';

for (const isRuling of [false, true]) {
  const who = isRuling ? 'that rules' : 'that stands by';
  test(`a controller ${who} keeps one connection per node, that of the last hello`, limit, async (t) => {
    const { rule, ...one } = await hubOf(t);
    if (isRuling) rule();
    const welcomed = ({ heard }: { readonly heard: readonly unknown[] }) => heard.length > 0;
    const [older, other] = [agentOf(t, one, 'n1'), agentOf(t, one, 'n2')];
    await Promise.all([older.until(welcomed), other.until(welcomed)]);
    const newer = agentOf(t, one, 'n1');
    await newer.until(welcomed);
    deepEqual(await older.untilClosed(), { code: 1008, reason: replaced });
    await untilTrue(() => one.hub.size <= 2);
    deepEqual([newer.closed, other.closed], [null, null]);
    deepEqual(one.closed, [{ node: 'n1', code: 1008, reason: replaced }]);
    equal(one.controller.nodes.get('n1')?.isConnected ?? false, isRuling);
  });
}

test(
  'a node that reconnects while a standby takes over is welcomed on its last connection',
  limit,
  async (t) => {
    const { rule, ...one } = await hubOf(t);
    const older = agentOf(t, one, 'n1');
    await older.until(({ heard }) => heard.length > 0);
    // The node is told of the new ruler on the old connection, and answers on a new one.
    rule();
    const newer = agentOf(t, one, 'n1');
    await newer.synced();
    deepEqual(await older.untilClosed(), { code: 1008, reason: replaced });
    equal(one.controller.nodes.get('n1')?.isConnected, true);
  },
);

test('an exception at the beginning of a stream ends that stream alone', limit, async (t) => {
  const { rule, ...one } = await hubOf(t);
  rule();
  const other = agentOf(t, one, 'n2');
  await other.synced();
  const { differing } = one.controller.rules;
  one.controller.rules.differing = () => {
    throw new RangeError('a mistake');
  };
  const unlucky = agentOf(t, one, 'n1');
  equal((await unlucky.untilClosed()).code, 1011);
  deepEqual(one.errors, ['RangeError: a mistake']);
  one.controller.rules.differing = differing;
  await agentOf(t, one, 'n1').synced();
  equal(other.closed, null);
});

test('an exception during an upgrade answers 500, and the next request is admitted', limit, async (t) => {
  let asked = 0;
  const { url, errors } = await hubOf(t, () => {
    if (asked++ === 0) throw new TypeError('of no known kind');
    return { node: null };
  });
  const unlucky = new WebSocket(`${url.replace('http', 'ws')}/agent`, 'vipward.v1');
  const [error] = await once(unlucky, 'error');
  match(String(error), /500/);
  deepEqual(errors, ['TypeError: of no known kind']);
  const agent = agentOf(t, { url }, 'n1');
  await agent.until(({ heard }) => heard.length > 0);
});

test('requests that wait for the first reading count as connections', limit, async (t) => {
  const role = { isOpen: false };
  const one = await hubOf(t, undefined, () => role.isOpen);
  const asked = async (): Promise<string> => {
    const socket = new WebSocket(`${one.url.replace('http', 'ws')}/agent`, 'vipward.v1');
    t.after(() => socket.terminate());
    const { promise, resolve } = Promise.withResolvers<string>();
    socket.on('open', () => resolve('open'));
    socket.on('error', ({ message }) => resolve(message));
    return await promise;
  };
  const all = await Promise.all(Array.from({ length: connectionLimit + 1 }, asked));
  // All wait in vain for the reading, but for the one that finds no room.
  equal(all.filter((what) => what.endsWith('503')).length, all.length);
  equal(one.turnedAway.filter((reason) => reason === 'too many connections').length, 1);
  role.isOpen = true;
  const opened = await Promise.all(Array.from({ length: connectionLimit }, asked));
  deepEqual(new Set(opened), new Set(['open']));
  match(await asked(), /503/);
});

test('a hello with as many VIPs as a node may hold, in their longest form, is accepted', limit, async (t) => {
  const { rule, controller, ...one } = await hubOf(t);
  rule();
  const held = Array.from({ length: heldLimit }, (_, index) => {
    const last = `${(0x1000 + (index >> 12)).toString(16)}:${(0x1000 + (index & 0xfff)).toString(16)}`;
    return {
      address: `fd77:1111:2222:3333:4444:5555:${last}` as Address,
      // Of generations above this one no agent hears.
      term: { generation: highestHeard + generationLeap, n: Number.MAX_SAFE_INTEGER },
      down: true as const,
    };
  });
  ok(JSON.stringify(held).length > 2 * frameLimitBytes);
  const agent = agentOf(t, one, 'n1', { hello: { held } });
  await agent.synced();
  // This controller has not issued these terms, and all of them were read.
  equal(controller.nodes.get('n1')?.impossible.size, heldLimit);
});
