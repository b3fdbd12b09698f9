// The log of a controller whose API server refuses it: what is wrong with which list, once.
import { deepEqual, equal } from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { startController } from '../../../../src/controller/run.ts';
import { untilTrue } from '../../../patience.ts';
import { configOf, ending, folder } from '../../fixture.ts';
import { kubeconfigOf } from './client-of.ts';

test('the problems of lists are logged with their paths when they change, and not at each attempt', {
  timeout: 60_000,
}, async (t) => {
  const asked: string[] = [];
  const server = createServer(({ url = '' }, response) => {
    asked.push(url);
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', message: 'Unauthorized' }));
  });
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const kubeconfig = join(folder(t), 'kubeconfig');
  const cluster = { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  writeFileSync(kubeconfig, JSON.stringify(kubeconfigOf(cluster)));
  const told: { readonly count: number; readonly problems: readonly string[] }[] = [];
  const write = (line: string) => {
    const { msg, count, problems } = JSON.parse(line);
    if (msg === 'sourceState') told.push({ count, problems });
  };
  const stopping = new AbortController();
  const argv = [
    '--kubernetes',
    '--kubeconfig',
    kubeconfig,
    '--listen',
    '127.0.0.1:0',
    '--pool',
    'p=10.0.0.1',
  ];
  const running = await startController(await configOf(argv), {
    log: pino({ base: null }, { write }),
    signal: stopping.signal,
    version: '0',
    logDestination: { dropped: 0 },
  });
  ending(t).defer(() => {
    stopping.abort();
    return running.done;
  });
  await untilTrue(() => asked.filter((url) => url === '/version').length >= 5);
  deepEqual(told.at(-1), {
    count: 4,
    problems: [
      'GET /version: 401 Unauthorized',
      'GET /apis/vipward.io/v1alpha1/virtualips: 401 Unauthorized',
      'GET /api/v1/services: 401 Unauthorized',
      'GET /api/v1/nodes: 401 Unauthorized',
    ],
  });
  equal(new Set(told.map(({ problems }) => problems.join())).size, told.length);
});
