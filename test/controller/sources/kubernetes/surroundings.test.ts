// What is remembered of the nodes of a cluster, of an API server that speaks as the real one does.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../../../../src/controller/sources/kubernetes/client.ts';
import { Credentials } from '../../../../src/controller/sources/kubernetes/credentials.ts';
import { readKubeconfig } from '../../../../src/controller/sources/kubernetes/kubeconfig.ts';
import { mostDeleted, Surroundings } from '../../../../src/controller/sources/kubernetes/surroundings.ts';
import { FakeApi } from './fake-api.ts';

const limit = { timeout: 20_000 };

test(
  'of Nodes that were deleted the latest are remembered, and none that is there again',
  limit,
  async () => {
    await using api = await new FakeApi().listen();
    const value = {
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
      clusters: [{ name: 'x', cluster: { server: api.url } }],
      users: [{ name: 'x', user: {} }],
    };
    const access = readKubeconfig({ value, context: null, resolve: (path) => path });
    using client = new ApiClient(access, new Credentials(access, {}), 'test');
    const stopping = new AbortController();
    const [deleted, returned]: [string[], string[]] = [[], []];
    const surroundings = new Surroundings({
      ...{ client, ignoresExclude: false, signal: stopping.signal, random: Math.random },
      ...{ onNodes: () => undefined, onEndpoints: () => undefined, onState: () => undefined },
      onDeleted: (name) => deleted.push(name),
      onReturned: (name) => returned.push(name),
    });
    const names = Array.from({ length: mostDeleted + 2 }, (_, index) => `node-${index}`);
    const [oldest = '', next = '', third = ''] = names.map((name) => `demo/${name}`);
    for (const name of names) api.set(name);
    surroundings.start();
    while (!surroundings.synced.nodes || api.watches === 0) await sleep(5);
    for (const name of names) api.remove(name);
    while (deleted.length < names.length) await sleep(5);
    equal(surroundings.barred.size, mostDeleted);
    deepEqual(
      [oldest, next, third].map((name) => surroundings.barred.get(name)),
      [undefined, undefined, 'its Node was deleted'],
    );
    api.set('node-2');
    while (surroundings.barred.has(third)) await sleep(5);
    equal(surroundings.barred.size, mostDeleted - 1);
    deepEqual(returned, [third]);
    stopping.abort();
    await surroundings.ended();
  },
);
