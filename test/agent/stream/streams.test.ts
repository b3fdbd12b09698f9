// How many streams there are, also while a name server is being asked.
import assert, { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamsParts } from '../../../src/agent/stream/stream.ts';
import { Streams } from '../../../src/agent/stream/streams.ts';
import { untilTrue } from '../../patience.ts';

/** Counts lookups of a name, and answers them when the test says so. */
class Room {
  names = 0;
  readonly streams: Streams;
  answer: () => void = () => undefined;

  constructor(lookAgainMs: number) {
    const unused = () => {
      throw new Error('no stream was opened');
    };
    this.streams = new Streams({
      urls: ['ws://controllers.test:9470'],
      lookAgainMs,
      now: () => performance.now(),
      hello: unused,
      onMessage: unused,
      onClose: () => undefined,
      log: {} as StreamsParts['log'],
      lookup: () => {
        this.names++;
        return new Promise((resolve) => {
          const found = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
          this.answer = () => resolve(found);
        });
      },
      credentials: async () => ({ token: undefined, ca: undefined, cert: undefined, key: undefined }),
    });
    this.streams.start();
  }
}

for (const [what, lookAgainMs, names] of [
  ['first lookup', 60_000, 1],
  ['later lookup for more addresses', 1, 2],
] as const)
  test(`a ${what} that is answered after the streams have ended opens no stream`, async () => {
    const room = new Room(lookAgainMs);
    await untilTrue(() => room.names >= names);
    room.streams[Symbol.dispose]();
    room.answer();
    await sleep(50);
    deepEqual([room.streams.all.length, room.names], [1, names]);
  });

test('an agent keeps streams to three addresses of a name at most', async (t) => {
  const found = [1, 2, 3, 4, 5].map((last) => ({ address: `127.0.0.${last}`, family: 4 }));
  const streams = new Streams({
    urls: ['ws://controllers.test:1', 'ws://others.test:1'],
    lookAgainMs: 1,
    now: () => performance.now(),
    hello: () => assert.fail('nobody listens'),
    onMessage: () => undefined,
    onClose: () => undefined,
    log: { warn: () => undefined } as unknown as StreamsParts['log'],
    lookup: async (host) => (host === 'others.test' ? found.slice(0, 2) : found),
    credentials: async () => ({ token: undefined, ca: undefined, cert: undefined, key: undefined }),
  });
  t.after(() => streams[Symbol.dispose]());
  streams.start();
  const of = (name: string) => streams.all.filter(({ url }) => url === `ws://${name}.test:1`);
  await untilTrue(() => of('controllers').length === 3 && of('others').length === 2);
  await sleep(100);
  deepEqual([of('controllers').length, of('others').length], [3, 2]);
});
