// A node that is told of its VIPs again announces them again: no frame may be lost, nor the last word of one.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bufferLimitBytes } from '../../../src/controller/stream/agent-stream.ts';
import { welcomeFrame } from '../../../src/controller/stream/welcome.ts';
import { type AgentMessage, pageServices } from '../../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../../src/protocol/parse.ts';
import type { Address } from '../../../src/state/address.ts';
import { ruling, servicesOf, term } from '../ruling.ts';
import { messageIn } from '../test-receiver.ts';
import { AgentProcess } from './agent-process.ts';

/** More than fit into one delta. */
const vips = Array.from({ length: pageServices + 100 }, (_, index) => addressOf(index));
const another = '10.77.9.9' as Address;
const [first, second] = vips as [Address, Address];

/** A real agent and the controller's side of its node, with the frames between them. */
class Pair {
  readonly ruled = ruling();
  readonly node = this.ruled.controller.nodes.at('b');
  /** VIPs that the agent was to announce again or to be silent about since it was last asked. */
  again: Address[] = [];
  quiet: Address[] = [];
  readonly down: Buffer[] = [];
  isFull = false;
  #lost = 1;
  readonly #agent: AgentProcess;
  #line = { url: '', state: 'open', reason: '', send: () => {}, refuse: () => {} } as never;
  #session: ReturnType<typeof this.ruled.sessions.open> | undefined;

  constructor() {
    const disk = { cluster: null, generation: 0, rules: new Map(), placements: new Map() };
    this.#agent = new AgentProcess('b', '02:00:00:00:00:01', disk, ({ set, quiet }) => {
      const silent = new Set(quiet);
      this.again.push(...set.map(({ address }) => address).filter((address) => !silent.has(address)));
      this.quiet.push(...quiet);
    });
    const { controller } = this.ruled;
    controller.publish({ set: servicesOf(1), remove: [] });
    controller.owners.settle();
    this.connect();
  }

  connect(): void {
    const { controller, sessions } = this.ruled;
    const hello = this.#agent.session.hello();
    this.down.length = 0;
    const { down } = this;
    const isFull = (): boolean => this.isFull;
    const wire = {
      send: (frame: Buffer) => void down.push(frame),
      get bufferedAmount() {
        return isFull() ? bufferLimitBytes : 0;
      },
    };
    const session = sessions.open(hello, wire);
    this.#session = session;
    const send = (message: AgentMessage): void => equal(sessions.message(session, message), null);
    this.#line = {
      url: '',
      state: 'open',
      reason: '',
      send,
      refuse: (why: string) => equal(why, ''),
    } as never;
    const { cluster, generation } = controller;
    down.push(welcomeFrame({ version: '0', cluster, generation, ruling: true }));
    sessions.begin(session);
  }

  disconnect(): void {
    if (this.#session !== undefined) this.ruled.sessions.close(this.#session);
    this.#agent.session.onClose(this.#line);
  }

  /** The node is to announce VIPs that it has, or to be silent about them. */
  repeat(...addresses: readonly Address[]): void {
    const set = addresses.map((address) => ({ address, term }));
    this.node.tell({ set, remove: [], again: new Set(addresses) });
  }

  /** The frame with another VIP is lost, unless it waits for the socket. */
  lose(): void {
    const { length } = this.down;
    this.node.tell({
      set: [{ address: another, term: { ...term, n: this.#lost++ } }],
      remove: [],
      again: new Set(),
    });
    this.down.length = length;
  }

  /** The agent reads what waits, and acknowledges it. */
  read(): void {
    [this.again, this.quiet] = [[], []];
    while (this.readOne()) this.#session?.stream.pump();
    this.acknowledge();
  }

  /** False if no frame waits. */
  readOne(): boolean {
    const frame = this.down.shift();
    if (frame === undefined) return false;
    this.#agent.session.onMessage(this.#line, parseControllerMessage(messageIn(frame)));
    return true;
  }

  acknowledge(): void {
    const { acks } = this.#agent.reporter;
    acks.take();
    acks.settle({ begun: 0, over: 0 });
  }

  drains(): void {
    this.isFull = false;
    this.#session?.stream.pump();
  }
}

function addressOf(index: number): Address {
  return `10.77.${index >> 8}.${index & 255}` as Address;
}

/** The agent has all VIPs, and has acknowledged them. */
function paired(): Pair {
  const pair = new Pair();
  pair.repeat(...vips);
  pair.read();
  deepEqual(pair.again, vips);
  return pair;
}

test('a node whose socket was full announces all VIPs again, also more than fit into one delta', () => {
  const pair = paired();
  pair.isFull = true;
  pair.repeat(...vips);
  equal(pair.down.length, 0);
  pair.drains();
  pair.read();
  deepEqual(pair.again, vips);
});

test('a node whose socket was full is silent about all VIPs that are to move', () => {
  const pair = paired();
  pair.isFull = true;
  for (const vip of vips) pair.node.moving.add(vip);
  pair.repeat(...vips);
  pair.drains();
  pair.read();
  deepEqual([pair.quiet, pair.again], [vips, []]);
});

test('a VIP is announced again though the agent ignored that, since it had missed a frame', () => {
  const pair = paired();
  pair.lose();
  pair.repeat(first);
  pair.read();
  deepEqual(pair.again, [another, first]);
  pair.lose();
  pair.repeat(second);
  pair.read();
  deepEqual(pair.again, [another, second]);
});

test('a VIP that is to move stays silent when the agent has missed a frame', () => {
  const pair = paired();
  pair.node.moving.add(first);
  pair.repeat(first);
  pair.read();
  deepEqual(pair.quiet, [first]);
  pair.node.resync('rules', { count: 0, digests: {} });
  pair.read();
  deepEqual(pair.quiet, []);
  pair.lose();
  pair.repeat(second);
  pair.read();
  deepEqual([pair.again, pair.quiet], [[another, second], [first]]);
});

test('VIPs that wait for a full socket are announced again though the agent has missed a frame', () => {
  const pair = paired();
  pair.lose();
  pair.repeat(first);
  pair.isFull = true;
  pair.repeat(...vips.slice(1));
  pair.read();
  deepEqual(pair.again, []);
  pair.drains();
  pair.read();
  deepEqual([pair.again[0], new Set(pair.again)], [another, new Set([another, ...vips])]);
});

test('a VIP is announced again on the next stream if the last one ended before the agent knew', () => {
  const pair = paired();
  pair.repeat(first);
  pair.repeat(second);
  pair.disconnect();
  pair.connect();
  pair.read();
  deepEqual(pair.again, [first, second]);
  pair.disconnect();
  pair.connect();
  pair.read();
  deepEqual(pair.again, []);
});

const noise = fc.constantFrom('lose', 'fill', 'drain', 'read', 'read', 'acknowledge', 'reconnect', 'repeat');

test('whatever is lost and however the socket fills, each VIP is announced that was to be', () => {
  const property = fc.property(fc.array(noise, { maxLength: 30 }), (steps) => {
    const pair = paired();
    [pair.again, pair.quiet] = [[], []];
    const due = new Set<Address>();
    for (const [index, step] of steps.entries()) {
      if (step === 'lose') pair.lose();
      else if (step === 'fill') pair.isFull = true;
      else if (step === 'drain') pair.drains();
      else if (step === 'read') pair.readOne();
      else if (step === 'acknowledge') pair.acknowledge();
      else if (step === 'reconnect') {
        pair.disconnect();
        pair.connect();
      } else {
        pair.repeat(addressOf(index));
        due.add(addressOf(index));
      }
    }
    for (const address of pair.again) due.delete(address);
    pair.drains();
    pair.read();
    for (const address of pair.again) due.delete(address);
    deepEqual([...due], []);
  });
  fc.assert(property, { numRuns: 100 });
});
