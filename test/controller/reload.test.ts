// A real process reads its config file and its Services again, on SIGHUP or when they change.

import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { program } from '../program.ts';
import { ending, folder, service } from './fixture.ts';

const limit = { timeout: 60_000 };

interface Line {
  readonly event: string;
  readonly url?: string;
  readonly reason?: string;
  readonly waiting?: readonly string[];
}

/** A controller's process and its log, line by line. */
function startProcess(
  t: TestContext,
  argv: readonly string[],
): { child: ChildProcess; next: (...events: string[]) => Promise<Line> } {
  const child = spawn(process.execPath, [program, 'controller', ...argv], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  ending(t).defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (...events: string[]): Promise<Line> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the controller ended before it said ${events.join(' or ')}`);
      const line = JSON.parse(String(value)) as Line;
      if (events.includes(line.event)) return line;
    }
  };
  return { child, next };
}

test('SIGHUP reads the config file and the Services again, and the controller goes on', limit, async (t) => {
  const [services, state] = [folder(t), folder(t)];
  const config = join(folder(t), 'config.yaml');
  writeFileSync(join(services, 'a.yaml'), service('web'));
  writeFileSync(config, 'pool: p=10.77.0.100\n');
  const where = ['--services', services, '--state', state, '--listen', '127.0.0.1:0', '--config', config];
  const { child, next } = startProcess(t, where);
  const { url } = await next('listening');
  await next('synced');
  child.kill('SIGHUP');
  const read = [
    (await next('configRead', 'sourceRead')).event,
    (await next('configRead', 'sourceRead')).event,
  ];
  deepEqual(read.toSorted(), ['configRead', 'sourceRead']);
  writeFileSync(config, 'pool: nothing\n');
  child.kill('SIGHUP');
  const { reason } = await next('configRefused');
  equal(reason?.startsWith(`${config}: pool nothing: expected NAME=RANGE`), true);
  const status = (await (await fetch(`${url}/api/v1/status`)).json()) as { vips: { address: string }[] };
  deepEqual(
    status.vips.map(({ address }) => address),
    ['10.77.0.100'],
  );
  child.kill('SIGTERM');
  deepEqual(await once(child, 'exit'), [0, null]);
});

test('configWaiting names the keys that need a restart, until the config has none', limit, async (t) => {
  const [draft, config] = [folder(t), folder(t)].map((path) => join(path, 'config.yaml')) as [string, string];
  const write = (more: object) => {
    writeFileSync(draft, JSON.stringify({ pool: 'p=10.77.0.100', listen: '127.0.0.1:0', ...more }));
    // A file that is written in place may be read half.
    renameSync(draft, config);
  };
  write({});
  const where = ['--services', folder(t), '--state', folder(t), '--config', config];
  const { child, next } = startProcess(t, where);
  await next('synced');
  write({ defaultClass: false });
  match((await next('configRefused')).reason ?? '', /^--default-class applies only with --kubernetes/);
  const filter = { onlyAllowTrafficServicePorts: false };
  write({ ...filter, defaultClass: true, kubernetes: false, tokenFile: '/x', massRemoval: 'now' });
  deepEqual((await next('configWaiting')).waiting, ['tokenFile', 'onlyAllowTrafficServicePorts']);
  write({ massRemoval: 'now', pool: 'p=10.77.0.101' });
  // Until two readings follow each other without a configWaiting.
  for (let event = ''; event !== 'configRead'; ) {
    await next('configRead');
    child.kill('SIGHUP');
    ({ event } = await next('configRead', 'configWaiting'));
  }
});

test('SIGUSR1, by which other programs print their state, opens no debugger', limit, async (t) => {
  const [services, state] = [folder(t), folder(t)];
  const where = ['--services', services, '--state', state, '--listen', '127.0.0.1:0'];
  const { child, next } = startProcess(t, where);
  await next('synced');
  child.kill('SIGUSR1');
  child.kill('SIGHUP');
  await next('sourceRead');
  // Node opens the debugger in a thread of its own.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const attempt = connect({ host: '127.0.0.1', port: 9229 });
  await rejects(once(attempt, 'connect'), { code: 'ECONNREFUSED' });
});
