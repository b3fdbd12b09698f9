// A resource is kept up to date whatever the API server and the network do, and an incomplete list is never
// used.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilTrue } from '../../../patience.ts';
import { refuse } from './fake-api.ts';
import { converged, type Watched, watched } from './watched.ts';

test('a list in pages is reported as one change, and then each watch event is followed', async (t) => {
  const all = await watched(t);
  await converged(all);
  equal(all.told(), 1);
  equal(all.api.count('limit=2'), 3);
  await untilTrue(() => all.api.watches === 1);
  all.api.set('b', '2');
  all.api.remove('c');
  all.api.set('f', '1');
  // An object that came and went in one chunk is not there.
  all.api.set('g', '1');
  all.api.remove('g');
  await converged(all);
  deepEqual([...all.known.keys()].sort(), ['a', 'b', 'd', 'e', 'f']);
  equal(all.api.lists, 1);
});

test('no further list and no watch starts before the change of a list was followed', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { api, watch, told } = await watched(t, {}, ['a', 'b'], promise);
  await untilTrue(() => told() === 1);
  let isListed = false;
  const again = watch.listAgain().then(() => {
    isListed = true;
  });
  await sleep(50);
  deepEqual([isListed, api.watches], [false, 0]);
  resolve();
  await again;
  // The first list was under way before the second was asked for.
  deepEqual([told(), api.lists], [2, 2]);
  await untilTrue(() => api.watches === 1);
});

test('a list that is cut off, between or within pages, is never reported', async (t) => {
  const all = await watched(t);
  let faults = 0;
  all.api.fault = (request, response) => {
    if (request.url?.includes('continue=') !== true || ++faults > 6) return 'go on';
    if (faults % 3 === 0) return refuse(response, 500);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
    // Half a page, which does not parse.
    response.write('{"metadata":{"resourceVersion":"1"},"items":[');
    setTimeout(() => response.socket?.destroy(), 5);
    return 'done';
  };
  await untilTrue(() => faults === 5);
  deepEqual([all.told(), all.watch.isComplete], [0, false]);
  await converged(all);
  deepEqual([all.told(), all.watch.isComplete, all.watch.problem], [1, true, null]);
});

test('lists and watches of another cluster are ignored', async (t) => {
  const all = await watched(t);
  await untilTrue(() => all.api.watches === 1);
  all.api.set('a', '2');
  await converged(all);
  const another = async () => {
    throw new Error('another cluster');
  };
  all.confirm = another;
  for (const name of ['a', 'b', 'c']) all.api.remove(name);
  await untilTrue(() => all.known.size === 2);
  all.api.cut('reset');
  for (const name of ['d', 'e']) all.api.remove(name);
  all.api.set('f', '1');
  const known = new Map(all.known);
  await untilTrue(() => all.watch.problem === 'another cluster');
  all.api.compact();
  const requests = all.api.count('limit=2');
  await untilTrue(() => all.api.count('limit=2') > requests + 1);
  deepEqual(all.known, known);
  all.confirm = async () => undefined;
  await converged(all);
  equal(all.watch.problem, null);
});

test('a 410 in the middle of a list starts the list again', async (t) => {
  const all = await watched(t);
  let faults = 0;
  all.api.fault = (request, response) =>
    request.url?.includes('continue=') === true && faults++ === 0 ? refuse(response, 410) : 'go on';
  await converged(all);
  deepEqual([all.told(), all.api.count('limit=2'), all.watch.problem], [1, 5, null]);
});

test('after a 410 of a watch a new list finds all missed changes and removals', async (t) => {
  const all = await watched(t);
  await untilTrue(() => all.api.watches === 1);
  all.api.fault = (_, response) => refuse(response, 503);
  all.api.cut('reset');
  all.api.remove('a');
  all.api.set('b', '2');
  all.api.set('g', '1');
  all.api.compact();
  const before = all.api.requests.length;
  await untilTrue(() => all.api.requests.length > before + 3);
  deepEqual([all.known.get('a'), all.told()], ['1', 1], 'the last list is kept while the server is away');
  match(all.watch.problem ?? '', /503 made to say 503/);
  all.api.fault = () => 'go on';
  await converged(all);
  deepEqual([all.api.lists, all.told()], [2, 2]);
});

test('watches that are reset, ended or send invalid data lose no event', async (t) => {
  const all = await watched(t);
  const faults = [
    () => all.api.cut('reset'),
    () => all.api.cut('end'),
    () => all.api.say('{"type":"ADDED","object":{"meta'),
    () => all.api.say('no json\n'),
    () => all.api.say('{"type":"ERROR","object":{"code":500,"message":"internal"}}\n'),
    () => all.api.say(Uint8Array.of(0xff, 0x0a)),
  ];
  for (let round = 0; round < 24; round++) {
    await untilTrue(() => all.api.watches === 1);
    faults[round % faults.length]?.();
    all.api.set(`n${round % 5}`, String(round));
    if (round % 4 === 0) all.api.remove(`n${(round + 2) % 5}`);
    if (round % faults.length === 2) all.api.cut('reset');
  }
  await converged(all);
  equal(all.api.lists, 1, 'every watch went on where the one before had ended');
});

test('a server that was away is listed again, as it may have come back with an older backup', async (t) => {
  const all = await watched(t);
  await untilTrue(() => all.api.watches === 1);
  const before = all.api.requests.length;
  all.api.fault = (_, response) => {
    response.socket?.resetAndDestroy();
    return 'done';
  };
  all.api.cut('reset');
  await untilTrue(() => all.api.requests.length > before + 3);
  // No event reports this removal.
  all.api.objects.delete('a');
  all.api.fault = () => 'go on';
  await converged(all);
  equal(all.api.lists, 2);
});

test('a 429 with Retry-After delays the next request', async (t) => {
  const all = await watched(t);
  const atMs: number[] = [];
  all.api.fault = (_, response) => {
    atMs.push(performance.now());
    return atMs.length === 1 ? refuse(response, 429, { 'retry-after': '1' }) : 'go on';
  };
  await converged(all);
  const [first = 0, second = 0] = atMs;
  t.diagnostic(`asked again after ${(second - first).toFixed(0)} ms`);
  // A timer counts from the beginning of its turn, so it may seem a little early.
  ok(second - first >= 900);
});

test('a watch goes on from the resourceVersion of the last bookmark', async (t) => {
  const all = await watched(t);
  await untilTrue(() => all.api.watches === 1);
  all.api.say('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"4711"}}}\n');
  await sleep(20);
  all.api.cut('end');
  await untilTrue(() => all.api.count('resourceVersion=4711') > 0);
  equal(all.api.lists, 1);
});

test('listAgain resolves once the list was read, and parallel calls are allowed', async (t) => {
  const all = await watched(t);
  await untilTrue(() => all.api.watches === 1);
  await all.watch.listAgain();
  equal(all.api.lists, 2);
  equal(all.told(), 2);
  await Promise.all([all.watch.listAgain(), all.watch.listAgain()]);
  await converged(all);
});

const restorations: Readonly<Record<string, (all: Watched) => void>> = {
  'is reported as restored': ({ watch }) => void watch.restored(),
  'answers 504 to its resourceVersion': ({ api }) => {
    api.fault = (_, response) => {
      api.fault = () => 'go on';
      return refuse(response, 504);
    };
    api.cut('end');
  },
};
for (const [what, restore] of Object.entries(restorations))
  test(`a server that ${what} is listed again, even objects of a known resourceVersion`, async (t) => {
    const all = await watched(t);
    await untilTrue(() => all.api.watches === 1);
    const before = all.api.objects.get('a');
    ok(before !== undefined);
    all.api.objects.set('a', { ...before, data: 'restored' });
    restore(all);
    await converged(all);
    deepEqual([all.known.get('a'), all.api.lists], ['restored', 2]);
  });

test('a token that is rotated in its file is used for the next watch', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-token-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'first\n');
  const all = await watched(t, { tokenFile });
  await untilTrue(() => all.api.watches === 1);
  writeFileSync(tokenFile, 'second\n');
  all.api.cut('end');
  await untilTrue(() => all.api.authorizations.includes('Bearer second'));
  equal(all.api.authorizations[0], 'Bearer first');
});

test('a plugin is run for a token, and again after a 401', async (t) => {
  const script = `printf '{"status":{"token":"%s"}}' "$(date +%s%N)"; cat > /dev/null`;
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] };
  const all = await watched(t, { exec });
  await untilTrue(() => all.api.watches === 1);
  const tokens = () => new Set(all.api.authorizations);
  equal(tokens().size, 1);
  all.api.fault = (_, response) => {
    all.api.fault = () => 'go on';
    return refuse(response, 401);
  };
  all.api.cut('end');
  await untilTrue(() => all.api.watches === 1 && tokens().size === 2);
});
