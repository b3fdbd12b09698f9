// Invalid messages to a real agent: it refuses each by name, and the kernel does not change.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeController, type Stream } from '../agent/fake-controller.ts';
import { rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const toPrint = skip || hasTool('nft', '--version');

interface Bad {
  readonly what: string;
  readonly say: (stream: Stream) => void;
  readonly code: number;
  readonly reason: RegExp;
}

const rule = { address: '10.77.0.100', filtered: true, egress: false };
const port = { protocol: 'TCP', port: 70_000, service: 'a/b', delivery: 'host', sources: null };
const placed = { address: '10.77.0.100', term: { generation: 2 ** 52, n: 1 } };
const delta = { type: 'delta', from: 7, to: 8, set: [], remove: [] };

/** Each is sent on a stream that was in sync until then. */
const badFrames: readonly Bad[] = [
  {
    what: 'a frame that is not JSON',
    say: (to) => to.say('hello?'),
    code: 1008,
    reason: /^not JSON: .*; upgrade/,
  },
  {
    what: 'JSON that is no object',
    say: (to) => to.say('[1]'),
    code: 1008,
    reason: /^frame: expected an obj/,
  },
  {
    what: 'a binary frame',
    say: (to) => to.binary(Uint8Array.of(1)),
    code: 1003,
    reason: /^a binary frame.*upgrade/,
  },
  {
    what: 'a frame over the size limit',
    say: (to) => to.say('x'.repeat(2 ** 22 + 1)),
    code: 1009,
    reason: /payload size.*upgr/,
  },
  {
    what: 'a frame that is not UTF-8',
    say: (to) => to.raw(0x81, 2, 0xc3, 0x28),
    code: 1007,
    reason: /UTF-8.*; upgrade/,
  },
  { what: 'a frame with reserved bits', say: (to) => to.raw(0xf1, 0), code: 1002, reason: /RSV.*; upgrade/ },
  {
    what: 'an unknown type',
    say: (to) => to.say({ type: 'lease' }),
    code: 1008,
    reason: /^type: expected welcome,.*lea/,
  },
  {
    what: 'a long unknown type',
    say: (to) => to.say({ type: '☃'.repeat(99) }),
    code: 1008,
    reason: /^type: .*; upgr/,
  },
  {
    what: 'a port of 70000',
    say: (to) => to.say({ ...delta, table: 'rules', set: [{ ...rule, ports: [port] }] }),
    code: 1008,
    reason: /^set\[0\]\.ports\[0\]\.port: .*70000/,
  },
  {
    what: 'a term of 2^52',
    say: (to) => to.say({ ...delta, table: 'placements', set: [placed] }),
    code: 1008,
    reason: /^set\[0\]\.term\.generation: ImpossibleTerm: 4503599627370496 is above/,
  },
  {
    what: 'a page with a term of 2^52',
    say: (to) => to.say({ type: 'page', table: 'placements', buckets: [96], set: [placed] }),
    code: 1008,
    reason: /^set\[0\]\.term\.generation: ImpossibleTerm: 4503599627370496 is above/,
  },
  {
    what: 'a welcome of another cluster',
    say: (to) => to.welcome({ cluster: 'b9a6' }),
    code: 1008,
    reason: /^cluster: this node belongs to .*, the controller to b9a6; run "vipward cleanup"/,
  },
  {
    what: 'a generation of 2^52',
    say: (to) => to.welcome({ generation: 2 ** 52 }),
    code: 1008,
    reason: /^generation: ImpossibleTerm: 4503599627370496, .*--state/,
  },
  {
    what: 'a generation that has ended',
    say: (to) => to.welcome({ generation: to.hello.generation - 1 }),
    code: 1008,
    reason: /^generation: \d+ is older than \d+/,
  },
  {
    what: 'a welcome without features',
    say: (to) => to.welcome({ features: undefined }),
    code: 1008,
    reason: /^features: expected a list, got undefined; upgrade/,
  },
];

/** An agent in sync with a real controller, which a fake one then replaces. */
async function hostileNode(): Promise<{ node: Node; controller: FakeController; kept: () => Promise<void> }> {
  const node = await Node.start({ services: [dns] });
  const controller = await FakeController.instead(node);
  await node.listen(node.node, 'udp', 53);
  const kernel = (): string[] => [rulesOf(node), node.run('ip -o address')];
  const before = kernel();
  const kept = async (): Promise<void> => {
    assert.deepEqual(kernel(), before);
    assert.equal(await node.probe('udp', '10.77.0.100', 53), 'open');
  };
  return { node, controller, kept };
}

async function streamOf(node: Node): Promise<{ state: string; reason: string }> {
  const [stream] = (await node.status()).controllers;
  return { state: stream?.state ?? '', reason: stream?.reason ?? '' };
}

test('the agent refuses an invalid message by name and goes on serving its last good state', {
  skip: toPrint,
}, async (t) => {
  const { node, controller, kept } = await hostileNode();
  await using _node = node;
  using _controller = controller;
  for (const { what, say, code, reason } of badFrames) {
    await t.test(what, async () => {
      const stream = await controller.next();
      stream.begin();
      await node.until('a stream in sync', async () => (await node.status()).inSync);
      say(stream);
      // Messages that follow at once change nothing.
      stream.say({ ...delta, table: 'rules', remove: ['10.77.0.100', 'fd77::100'] });
      stream.say({ ...delta, table: 'placements', remove: ['10.77.0.100', 'fd77::100'] });
      assert.equal((await stream.closed).code, code);
      await node.until(`${reason} in status`, async () => {
        const now = await streamOf(node);
        return now.state === 'refused' && reason.test(now.reason);
      });
      await kept();
    });
  }
  const stream = await controller.next();
  stream.begin();
  await node.until('the stream is open again', async () => (await streamOf(node)).state === 'open');
  assert.equal((await streamOf(node)).reason, '');
});

test('after a gap or a wrong digest the agent asks for a resync and goes on serving', {
  skip: toPrint,
}, async () => {
  const { node, controller, kept } = await hostileNode();
  await using _node = node;
  using _controller = controller;
  const resyncs = (of: Stream): number => of.heard.filter(({ type }) => type === 'resync').length;
  const first = await controller.next();
  first.begin();
  first.say({ ...delta, table: 'rules', from: 9, to: 10, remove: ['10.77.0.100'] });
  await node.until('a resync', () => resyncs(first) === 1);
  const { inSync, problems } = await node.status();
  assert.equal(inSync, false);
  assert.match(problems[0] ?? '', /^rules: a frame was lost/);
  await kept();
  first.synced('rules');
  await node.until('in sync again', async () => (await node.status()).inSync);
  for (let times = 1; times <= 4; times++) first.synced('rules', { digest: '0123456789abcdef' });
  const { code, reason } = await first.closed;
  assert.equal(code, 1008);
  assert.match(reason, /^rules: the resources sent do not match their digest/);
  assert.equal(resyncs(first), 4);
  await kept();
});

test('the agent refuses pages without end by name and keeps nothing of them', { skip: toPrint }, async () => {
  const { node, controller, kept } = await hostileNode();
  await using _node = node;
  using _controller = controller;
  const stream = await controller.next();
  stream.begin();
  const ports = Array.from({ length: 40_000 }, (_, n) => ({ ...port, port: n + 1 }));
  let isClosed = false;
  const closed = stream.closed.finally(() => {
    isClosed = true;
  });
  for (let n = 0; !isClosed; n++) {
    const set = [{ ...rule, address: `10.77.1.${n % 256}`, ports }];
    stream.say({ type: 'page', table: 'rules', buckets: [n % 256], set });
    await sleep(50);
  }
  const { code, reason } = await closed;
  assert.equal(code, 1008);
  assert.match(reason, /^page: the pages of rules hold more than 500000 resources, ports and sources/);
  await kept();
  (await controller.next()).begin();
  await node.until('a stream in sync', async () => (await node.status()).inSync);
  await kept();
});

test('the agent ignores unknown fields', { skip: toPrint }, async () => {
  const { node, controller } = await hostileNode();
  await using _node = node;
  using _controller = controller;
  const stream = await controller.next();
  stream.welcome({ colour: 'blue' });
  stream.synced('rules', { weight: 1 });
  stream.synced('placements');
  const known = { ...port, port: 80, delivery: 'host', service: 'default/web', tone: 3 };
  const set = [{ ...rule, address: '10.77.0.101', ports: [known], mood: 'good' }];
  stream.say({ ...delta, table: 'rules', set, since: 'ever' });
  await node.until('an ack', () =>
    stream.heard.some((message) => message.type === 'ack' && message.table === 'rules' && message.seq === 8),
  );
  assert.match(rulesOf(node), /10\.77\.0\.101/);
});

test('status says why a server is no usable controller', { skip: toPrint }, async (t) => {
  const { node, controller, kept } = await hostileNode();
  await using _node = node;
  using _controller = controller;
  const said = (reason: RegExp): Promise<void> =>
    node.until(`${reason} in status`, async () => reason.test((await streamOf(node)).reason));
  await said(/^no welcome within 5000 ms; check that --controller names/);
  controller.subprotocol = 'vipward.v2';
  await said(/^the server speaks vipward.v2, not vipward.v1; upgrade the older/);
  controller[Symbol.dispose]();
  await said(/ECONNREFUSED.*; check --controller/);
  const silent = createServer();
  t.after(() => silent.close());
  await node.node.stay(async () => once(silent.listen(9470, '127.0.0.1'), 'listening'));
  await said(/handshake has timed out; check --controller/);
  await kept();
});
