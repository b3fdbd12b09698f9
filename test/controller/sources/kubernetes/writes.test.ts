// Writes to an API server: few at a time, urgent kinds first, the latest of each key, repeated after a
// failure.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../../../src/controller/sources/kubernetes/client.ts';
import { mostBeside, mostInFlight, Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import { untilTrue } from '../../../patience.ts';

interface Rig {
  readonly writes: Writes;
  readonly refused: string[];
  mayWrite: boolean;
}

function rig(context: TestContext): Rig {
  const stopping = new AbortController();
  context.after(() => stopping.abort());
  const refused: string[] = [];
  const made: Rig = {
    refused,
    mayWrite: true,
    writes: new Writes({
      signal: stopping.signal,
      random: () => 0,
      restMs: 20,
      mayWrite: () => made.mayWrite,
      onRefused: (kind, key, error) => refused.push(`${kind} ${key}: ${error.message}`),
    }),
  };
  return made;
}

test('at most sixteen writes are in flight, and statuses go before records and Events', async (t) => {
  const { writes } = rig(t);
  const order: string[] = [];
  let [inFlight, most] = [0, 0];
  const write = (name: string) => async () => {
    order.push(name);
    most = Math.max(most, ++inFlight);
    await sleep(1);
    inFlight--;
  };
  for (let index = 0; index < mostBeside; index++) writes.put('event', `first ${index}`, write('first'));
  for (let index = 0; index < 40; index++) {
    writes.put('event', `e${index}`, write('event'));
    writes.put('record', `r${index}`, write('record'));
    writes.put('status', `s${index}`, write('status'));
  }
  await untilTrue(() => writes.waiting === 0);
  equal(most, 16);
  deepEqual([...new Set(order)], ['first', 'status', 'record', 'event']);
  const rank = ['status', 'record', 'event'];
  deepEqual(
    order.slice(mostBeside),
    [...order.slice(mostBeside)].sort((a, b) => rank.indexOf(a) - rank.indexOf(b)),
  );
});

test('other kinds have every slot that statuses leave free', async (t) => {
  const { writes } = rig(t);
  const gate = Promise.withResolvers<void>();
  let inFlight = 0;
  const slow = async () => {
    inFlight++;
    await gate.promise;
  };
  for (let index = 0; index < mostBeside; index++) writes.put('status', `s${index}`, slow);
  for (let index = 0; index < mostInFlight; index++) writes.put('record', `r${index}`, slow);
  equal(inFlight, mostInFlight);
  gate.resolve();
  await untilTrue(() => writes.waiting === 0);
});

test('of the waiting writes of one key only the latest is done, after the one in flight', async (t) => {
  const { writes } = rig(t);
  const written: number[] = [];
  const gate = Promise.withResolvers<void>();
  writes.put('status', 'a', async () => {
    await gate.promise;
    written.push(0);
  });
  for (let value = 1; value <= 5; value++) writes.put('status', 'a', async () => void written.push(value));
  deepEqual(written, []);
  gate.resolve();
  await untilTrue(() => writes.waiting === 0);
  deepEqual(written, [0, 5]);
});

test('a 429 with Retry-After stops all writes for that long, and no write is lost', async (t) => {
  const { writes, refused } = rig(t);
  const atMs: number[] = [];
  writes.put('status', 'a', async () => {
    atMs.push(performance.now());
    if (atMs.length === 1) throw new ApiError(429, 'too many requests', 300);
    if (atMs.length === 2) throw new Error('socket hang up');
  });
  await untilTrue(() => atMs.length === 1);
  let other = 0;
  writes.put('record', 'b', async () => void other++);
  equal(other, 0);
  await untilTrue(() => writes.waiting === 0);
  const [first = 0, second = 0] = atMs;
  ok(second - first >= 300);
  deepEqual([atMs.length, other, refused], [3, 1, []]);
});

test('a permanently refused write is reported once, and does not hold up others', async (t) => {
  const { writes, refused } = rig(t);
  let other = 0;
  writes.put('status', 'a', async () => {
    throw new ApiError(422, 'invalid', null);
  });
  writes.put('status', 'b', async () => void other++);
  await untilTrue(() => writes.waiting === 0);
  await sleep(50);
  deepEqual([other, refused], [1, ['status a: invalid']]);
});

test('a forbidden write is repeated, because the right may be granted at any time', async (t) => {
  const { writes, refused } = rig(t);
  let isAllowed = false;
  let written = 0;
  writes.put('status', 'a', async () => {
    if (!isAllowed) throw new ApiError(403, 'forbidden', null);
    written++;
  });
  await untilTrue(() => refused.length === 2);
  isAllowed = true;
  await untilTrue(() => written === 1);
  deepEqual([...writes.refused], []);
});

test('a refusal stays reported until a write of that key succeeds or is dropped', async (t) => {
  const { writes } = rig(t);
  const refusing = async (): Promise<void> => {
    throw new ApiError(422, 'invalid', null);
  };
  for (const key of ['a', 'b']) writes.put('record', key, refusing);
  await untilTrue(() => writes.waiting === 0);
  deepEqual([...writes.refused.values()], ['invalid', 'invalid']);
  writes.put('record', 'a', async () => undefined);
  writes.drop('record', 'b');
  await untilTrue(() => writes.waiting === 0);
  deepEqual([...writes.refused], []);
});

const limit = { timeout: 20_000 };
const failing = (...codes: number[]) => {
  return async (): Promise<void> => {
    const code = codes.shift();
    if (code !== undefined) throw new ApiError(code, `made to say ${code}`, null);
  };
};

test('a 404 after a 403 ends the refusal of an Event', limit, async (t) => {
  const { writes, refused } = rig(t);
  writes.put('event', 'of a namespace that ends', failing(403, 404));
  await untilTrue(() => writes.refused.size === 1);
  await untilTrue(() => writes.refused.size === 0);
  deepEqual([writes.waiting, refused.length], [0, 1]);
});

test('a new object in a namespace that is being deleted is given up, and is no refusal', limit, async (t) => {
  const { writes, refused } = rig(t);
  let tries = 0;
  writes.put('event', 'of a namespace that ends', async () => {
    tries++;
    throw new ApiError(403, 'forbidden', null, ['NamespaceTerminating']);
  });
  await untilTrue(() => writes.waiting === 0);
  await sleep(100);
  deepEqual([tries, writes.waiting, [...writes.refused], refused], [1, 0, [], []]);
});

test('a 429 after a 403 ends the refusal, and the write waits', limit, async (t) => {
  const { writes } = rig(t);
  let tries = 0;
  writes.put('event', 'a', async () => {
    throw tries++ === 0 ? new ApiError(403, 'forbidden', null) : new ApiError(429, 'later', 60_000);
  });
  await untilTrue(() => writes.refused.size === 1);
  await untilTrue(() => tries === 2);
  await sleep(0);
  deepEqual([writes.refused.size, writes.waiting], [0, 1]);
});

test('a refused status is reported even after 30 refused Events', async (t) => {
  const { writes } = rig(t);
  for (let index = 0; index < 30; index++) writes.put('event', `e${index}`, failing(422));
  await untilTrue(() => writes.waiting === 0);
  writes.put('status', 's', failing(422));
  await untilTrue(() => writes.waiting === 0);
  deepEqual([writes.refused.size, writes.refused.get('status s')], [21, 'made to say 422']);
});

test('a controller that may not write keeps its writes until it may', async (t) => {
  const all = rig(t);
  all.mayWrite = false;
  let written = 0;
  all.writes.put('status', 'a', async () => void written++);
  all.writes.put('record', 'b', async () => void written++);
  await sleep(30);
  equal(written, 0);
  all.mayWrite = true;
  all.writes.wake();
  await untilTrue(() => written === 2);
});

test('Events beyond the 5000 that can wait are dropped and counted', (t) => {
  const all = rig(t);
  all.mayWrite = false;
  for (let index = 0; index < 5200; index++) all.writes.put('event', `e${index}`, async () => undefined);
  deepEqual([all.writes.waiting, all.writes.dropped], [5000, 200]);
});
