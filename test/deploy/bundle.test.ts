// The bundle of the image as a process: modules that are loaded on demand are found by their names.

import { equal, ok } from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempDisposableSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkMetrics } from '../metrics-page.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
let bundle = '';

before(() => {
  // Two levels below the checkout, where the bundle looks for what it does not contain.
  mkdirSync(join(root, 'build'), { recursive: true });
  bundle = mkdtempSync(join(root, 'build', 'bundle-'));
  execFileSync(process.execPath, ['deploy/bundle.ts', bundle], { cwd: root });
});
after(() => rmSync(bundle, { recursive: true }));

/** Starts a command; resolves to the URL at which it listens by its log. */
async function urlOf(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no standard output');
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, url } = JSON.parse(line) as { event: string; url?: string };
    if (event === 'listening' && url !== undefined) return url;
  }
  throw new Error('it ended');
}

test('the controller of the bundle reads its config file and serves its metrics', async (t) => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-bundle-'));
  const config = join(folder.path, 'config.yaml');
  writeFileSync(config, 'pool: [p=10.77.0.100]\nlisten: 127.0.0.1:0\n');
  const argv = ['controller', '--services', folder.path, '--state', join(folder.path, 'state')];
  const child = spawn(process.execPath, [join(bundle, 'main.js'), ...argv, '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const answer = await fetch(`${await urlOf(child)}/metrics`);
  equal(answer.status, 200);
  checkMetrics(await answer.text(), 'controller');
  child.kill('SIGTERM');
  equal((await once(child, 'exit'))[0], 0);
});

/** Node's own modules that a command has loaded at its end. */
function loadedBy(...argv: string[]): readonly string[] {
  const tell = "process.on('exit', () => console.log(process.moduleLoadList.join()))";
  const flags = ['--import', `data:text/javascript,${tell}`];
  const { stdout } = spawnSync(process.execPath, [...flags, join(bundle, 'main.js'), ...argv], {
    encoding: 'utf8',
  });
  return stdout.trim().split('\n').at(-1)?.split(',') ?? [];
}

test('no program loads the HTTP client of fetch, and an agent without TLS no TLS', () => {
  const nowhere = ['--listen', '192.0.2.1:1', '--state', join(bundle, 'state')];
  const agent = loadedBy('agent', '--controller', 'ws://127.0.0.1:1', '--allow', '10.0.0.0/8', ...nowhere);
  const controller = loadedBy('controller', '--services', bundle, ...nowhere);
  const verb = loadedBy('status', '--controller', 'http://127.0.0.1:1');
  for (const loaded of [agent, controller, verb]) {
    ok(loaded.includes('NativeModule _http_client'), `${loaded}`);
    ok(!loaded.includes('NativeModule internal/deps/undici/undici'));
  }
  ok(controller.includes('NativeModule tls'));
  ok(!agent.includes('NativeModule tls'));
});
