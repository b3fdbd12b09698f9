// What the controller accepts from its source: nothing before it was read completely, and of an invalid
// document the last valid content.

import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { configOf, folder, runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };

async function get(url: string): Promise<{ status: number; text: string }> {
  const response = await fetch(url);
  return { status: response.status, text: await response.text() };
}

test(
  'before its source is read completely a controller is not ready and closes the streams of agents',
  limit,
  async (t) => {
    const running = await runningController(t, {
      files: { 'a.yaml': service('web'), 'b.yaml': 'kind: [Service\n' },
    });
    const ready = await get(`${running.url}/readyz`);
    equal(ready.status, 503);
    match(ready.text, /b\.yaml/);
    const agent = agentOf(t, running, 'n1');
    await agent.untilClosed();
    equal(agent.heard.length, 0);
    equal(running.status().problems[0]?.file.endsWith('b.yaml'), true);
    running.write('b.yaml', service('other'));
    await untilStatus(running, ({ synced }) => synced);
    equal((await get(`${running.url}/readyz`)).status, 200);
    const again = agentOf(t, running, 'n1');
    await again.until(({ rules }) => rules.size === 2);
  },
);

test('an invalid file keeps its last valid Services, and other files are followed', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 2);
  running.write('a.yaml', 'kind: Service\nspec: {ports: [\n');
  await untilStatus(running, ({ problems }) => problems.length === 1);
  running.write('b.yaml', service('api', { ports: [81] }));
  await agent.until(({ rules }) => [...rules.values()].some(({ ports }) => ports[0]?.port === 81));
  equal(agent.rules.size, 2);
  running.write('a.yaml', service('web', { ports: [82] }));
  await agent.until(({ rules }) => [...rules.values()].some(({ ports }) => ports[0]?.port === 82));
  deepEqual(running.status().problems, []);
});

test('an invalid Service stays as it was and is named, and its file is followed', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  running.write('a.yaml', service('web', { ports: [70_000] }), service('api'));
  await agent.until(({ rules }) => rules.size === 2);
  equal(agent.rules.get(first)?.ports[0]?.port, 80);
  const [problem] = running.status().problems;
  match(problem?.message ?? '', /spec\.ports\[0\]\.port: expected 1-65535, got 70000/);
  deepEqual(
    [problem?.file, problem?.document, problem?.service],
    [join(running.services, 'a.yaml'), 0, 'demo/web'],
  );
});

test(
  'an invalid Service that was served before the start keeps the source from being synced',
  limit,
  async (t) => {
    const [services, stateDir] = [folder(t), folder(t)];
    const running = await runningController(t, { services, stateDir, files: { 'a.yaml': service('web') } });
    await running.stop();
    const again = await runningController(t, {
      services,
      stateDir,
      files: { 'a.yaml': service('web', { ports: [0] }) },
    });
    equal(again.status().synced, false);
    again.write('a.yaml', service('web'));
    await untilStatus(again, ({ synced, vips }) => synced && vips[0]?.address === first);
  },
);

test('externalTrafficPolicy Local in a file is reported as not followed', limit, async (t) => {
  const spec = { externalTrafficPolicy: 'Local' };
  const running = await runningController(t, { files: { 'a.yaml': service('web', { spec }) } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  const [problem] = running.status().problems;
  deepEqual([problem?.service, problem?.document], ['demo/web', 0]);
  match(problem?.message ?? '', /^NotSupported: spec\.externalTrafficPolicy: Local is ignored: /);
  running.write('a.yaml', service('web'));
  await untilStatus(running, ({ problems }) => problems.length === 0);
});

test('a file that is renamed into the folder is read, and a hidden file is not', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.synced();
  writeFileSync(join(running.services, '.b.yaml'), service('hidden'));
  writeFileSync(join(running.services, 'c.txt'), service('text'));
  writeFileSync(join(running.services, '.new'), service('web', { ports: [81] }));
  renameSync(join(running.services, '.new'), join(running.services, 'a.yaml'));
  await agent.until(({ rules }) => rules.get(first)?.ports[0]?.port === 81);
  equal(agent.rules.size, 1);
});

test('removing a file removes its Services', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 2);
  rmSync(join(running.services, 'b.yaml'));
  await agent.until(({ rules }) => rules.size === 1);
});

test('--services may be a single file, and the Services stay if it is removed', limit, async (t) => {
  const path = join(folder(t), 'services.yaml');
  const running = await runningController(t, { services: path, files: {}, timing: {} });
  equal(running.status().synced, false);
  writeFileSync(path, service('web'));
  await untilStatus(running, ({ synced }) => synced);
  rmSync(path);
  await untilStatus(running, ({ problems }) => problems.length > 0);
  equal(running.status().vips.length, 1);
  writeFileSync(path, service('web', { ports: [81] }));
  await untilStatus(running, ({ vips }) => vips[0]?.services[0]?.ports[0]?.port === 81);
});

test('a manifest of 20 MB is refused for its size, and the Services of the file stay', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  running.write('a.yaml', `# ${'x'.repeat(20 * 1024 * 1024)}\n`);
  await untilStatus(running, ({ problems }) => /at most 16777216/.test(problems[0]?.message ?? ''));
  equal(running.status().vips.length, 1);
});

test('records of another layout or invalid JSON end the start with the remedy', limit, async (t) => {
  for (const text of ['{"layout":99}', '{"layout":1', '']) {
    const stateDir = folder(t);
    writeFileSync(join(stateDir, 'controller.json'), text);
    await rejects(runningController(t, { stateDir }), /controller\.json: .*restore it from a backup/);
  }
});

test(
  'a controller listens beyond loopback only with credentials for clients or with --insecure',
  limit,
  async () => {
    const argv = ['--services', '/x', '--listen', '0.0.0.0:1'];
    await rejects(configOf(argv), /--token-file, or allow this by --insecure/);
    const tls = ['--tls-cert', 'c', '--tls-key', 'k'];
    await rejects(configOf([...argv, ...tls]), /--token-file, or allow this by --insecure/);
    equal((await configOf([...argv, ...tls, '--client-ca', 'ca'])).listen.host, '0.0.0.0');
    equal((await configOf([...argv, '--insecure'])).listen.host, '0.0.0.0');
    await rejects(configOf(['--kubernetes', '--state', '/x']), /--state: .*the cluster keeps the records/);
    await rejects(configOf(['--kubernetes', '--services', '/x']), /give one of them/);
    await rejects(configOf([]), /--services PATH is missing: .*, or give --kubernetes$/);
  },
);

test('a controller waits for a --services folder that does not exist yet', limit, async (t) => {
  const services = join(folder(t), 'later');
  const running = await runningController(t, { services });
  match(running.status().problems[0]?.message ?? '', /create it, or correct --services/);
  mkdirSync(services);
  writeFileSync(join(services, 'a.yaml'), service('web'));
  await untilStatus(running, ({ synced, vips }) => synced && vips.length === 1);
});

test('the records of a controller are in /var/lib/vipward unless --state says otherwise', async () => {
  const argv = ['--services', '.', '--pool', 'p=10.77.0.100'];
  for (const [more, stateDir] of [
    [[], '/var/lib/vipward'],
    [['--state', '/elsewhere'], '/elsewhere'],
  ] as const) {
    const { source } = await configOf([...argv, ...more]);
    deepEqual(source, { kind: 'files', path: '.', stateDir });
  }
});
