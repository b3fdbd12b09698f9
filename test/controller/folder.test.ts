// Which VIPs go with the files of a folder: files that are removed together, and links without a target.

import { deepEqual, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Status } from '../../src/controller/status/status.ts';
import { untilTrue } from '../patience.ts';
import { folder, runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 30_000 };

test('a folder that is emptied file by file is one mass removal', limit, async (t) => {
  const names = Array.from({ length: 20 }, (_, index) => `${index}.yaml`);
  const files = Object.fromEntries(names.map((name, index) => [name, service(`s${index}`)]));
  const running = await runningController(t, { files });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  for (const name of names) rmSync(join(running.services, name));
  await untilStatus(running, ({ massRemoval }) => massRemoval?.vips === 20);
  equal(agent.rules.size, 20);
  for (const [name, text] of Object.entries(files)) running.write(name, text);
  await untilStatus(running, ({ massRemoval }) => massRemoval === null);
  equal(agent.rules.size, 20);
});

test('a Service that moves to another file is not removed meanwhile', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 2);
  running.write('a.yaml', '# moved\n');
  running.write('b.yaml', service('api'), service('web', { ports: [81] }));
  await agent.until(({ rules }) => [...rules.values()].some(({ ports }) => ports[0]?.port === 81));
  equal(
    agent.heard.some((message) => message.type === 'delta' && message.remove.length > 0),
    false,
  );
});

/** The problems of a status, with their files by name. */
const problemsOf = ({ problems }: Status) =>
  problems.map(({ file, message }) => `${basename(file)}: ${message}`);

test('a broken link removes no VIP until the link itself is removed, and is named', limit, async (t) => {
  const [services, elsewhere] = [folder(t), folder(t)];
  const [target, link] = [join(elsewhere, 'web.yaml'), join(services, 'a.yaml')];
  writeFileSync(target, service('web'));
  symlinkSync(target, link);
  const running = await runningController(t, { services });
  await untilStatus(running, ({ vips }) => vips.length === 1);
  renameSync(target, `${target}.old`);
  await running.readAgain();
  const why = `a.yaml: it is a link to ${target}, which does not exist: restore it, or remove the link`;
  await untilStatus(running, ({ problems }) => problems.length === 1);
  deepEqual(problemsOf(running.status()), [why]);
  equal(running.status().vips.length, 1);
  renameSync(`${target}.old`, target);
  await running.readAgain();
  await untilStatus(running, ({ problems, vips }) => problems.length === 0 && vips.length === 1);
  symlinkSync('nowhere', join(services, 'new.yaml'));
  await untilStatus(running, ({ problems }) => problems.length === 1);
  deepEqual(problemsOf(running.status()), [
    'new.yaml: it is a link to nowhere, which does not exist: restore it, or remove the link',
  ]);
  rmSync(link);
  await untilStatus(running, ({ vips }) => vips.length === 0);
});

test('a broken link at the start keeps the source from being synced', limit, async (t) => {
  const [services, stateDir, target] = [folder(t), folder(t), join(folder(t), 'web.yaml')];
  writeFileSync(target, service('web'));
  symlinkSync(target, join(services, 'a.yaml'));
  const first = await runningController(t, { services, stateDir });
  await untilStatus(first, ({ vips }) => vips.length === 1);
  await first.stop();
  renameSync(target, `${target}.old`);
  const again = await runningController(t, { services, stateDir, files: { 'b.yaml': service('api') } });
  deepEqual([again.status().synced, problemsOf(again.status()).length], [false, 1]);
  renameSync(`${target}.old`, target);
  await again.readAgain();
  await untilStatus(again, ({ synced, vips }) => synced && vips.length === 2);
});

test(
  'a pipe, a device and a folder among the files are named, and keep no other file waiting',
  limit,
  async (t) => {
    const services = folder(t);
    spawnSync('mkfifo', [join(services, 'a.yaml')]);
    symlinkSync('/dev/zero', join(services, 'b.yaml'));
    mkdirSync(join(services, 'c.yaml'));
    const running = await runningController(t, { services, files: { 'd.yaml': service('web') } });
    await untilStatus(running, ({ problems }) => problems.length === 3);
    const why = 'it is no regular file: remove it';
    deepEqual(problemsOf(running.status()), [`a.yaml: ${why}`, `b.yaml: ${why}`, `c.yaml: ${why}`]);
    for (const name of ['a.yaml', 'b.yaml', 'c.yaml']) rmSync(join(services, name), { recursive: true });
    await untilStatus(running, ({ synced, vips }) => synced && vips.length === 1);
  },
);

/** Writes the next version of a mounted ConfigMap, as a kubelet does. */
function mount(services: string, version: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(services, version));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(services, version, file), text);
  symlinkSync(version, join(services, '..data_tmp'));
  renameSync(join(services, '..data_tmp'), join(services, '..data'));
}

test('a file that a ConfigMap drops is removed once its link is removed', limit, async (t) => {
  const services = folder(t);
  for (const file of ['a.yaml', 'b.yaml']) symlinkSync(`..data/${file}`, join(services, file));
  mount(services, '..1', { 'a.yaml': service('web'), 'b.yaml': service('api') });
  const running = await runningController(t, { services });
  await untilStatus(running, ({ vips }) => vips.length === 2);
  mount(services, '..2', { 'a.yaml': service('web', { ports: [81] }) });
  await untilStatus(running, ({ problems }) => problems.length === 1);
  equal(running.status().vips.length, 2);
  rmSync(join(services, 'b.yaml'));
  await untilStatus(running, ({ vips, problems }) => vips.length === 1 && problems.length === 0);
  equal(running.status().vips[0]?.services[0]?.ports[0]?.port, 81);
});

for (const file of ['', 'a.yaml']) {
  const what = file === '' ? 'of Services' : 'of a file of Services';
  test(
    `another folder ${what} is followed at once, by a link, by a rename or made anew`,
    limit,
    async (t) => {
      // The files are looked at when something has changed, and at no other time.
      t.mock.timers.enable({ apis: ['setInterval'] });
      const root = folder(t);
      const path = join(root, 'now');
      const put = (name: string, port: number) =>
        writeFileSync(join(root, name, 'a.yaml'), service('web', { ports: [port] }));
      const make = (name: string, port: number) => {
        mkdirSync(join(root, name));
        put(name, port);
      };
      make('v1', 81);
      symlinkSync('v1', path);
      const running = await runningController(t, { services: join(path, file) });
      const serves = (port: number) =>
        untilStatus(running, ({ vips }) => vips[0]?.services[0]?.ports[0]?.port === port);
      await serves(81);
      make('v2', 82);
      symlinkSync('v2', join(root, 'next'));
      renameSync(join(root, 'next'), path);
      await serves(82);
      put('v2', 83);
      await serves(83);
      rmSync(path);
      make('now', 84);
      await serves(84);
      make('v3', 85);
      renameSync(path, join(root, 'old'));
      renameSync(join(root, 'v3'), path);
      await serves(85);
      put('now', 86);
      await serves(86);
      // The file system may give the next folder the same number.
      rmSync(path, { recursive: true });
      make('now', 87);
      await serves(87);
      put('now', 88);
      await serves(88);
    },
  );

  test(
    `the next version of a ConfigMap as a ${file === '' ? 'folder' : 'file'} is read at once`,
    limit,
    async (t) => {
      t.mock.timers.enable({ apis: ['setInterval'] });
      const services = folder(t);
      symlinkSync('..data/a.yaml', join(services, 'a.yaml'));
      mount(services, '..1', { 'a.yaml': service('web') });
      const running = await runningController(t, { services: join(services, file) });
      await untilStatus(running, ({ vips }) => vips.length === 1);
      for (const port of [81, 82]) {
        mount(services, `..${port}`, { 'a.yaml': service('web', { ports: [port] }) });
        await untilStatus(running, ({ vips }) => vips[0]?.services[0]?.ports[0]?.port === port);
      }
    },
  );
}

test('a problem of a file is logged once when it appears, and again when it ends', limit, async (t) => {
  const services = join(folder(t), 'later');
  const told: { readonly count: number; readonly problems: readonly string[] }[] = [];
  const write = (line: string) => {
    const { msg, ...rest } = JSON.parse(line);
    if (msg === 'sourceState') told.push(rest);
  };
  const running = await runningController(t, { services, log: pino({ base: null }, { write }) });
  /** Written at once, because half of a file would be logged too. */
  const put = (file: string, ...documents: readonly string[]) => {
    writeFileSync(join(services, '.new'), documents.join('---\n'));
    renameSync(join(services, '.new'), join(services, file));
  };
  const said = async (...words: readonly RegExp[]) => {
    await untilTrue(() => told.length > 0);
    await running.readAgain();
    const [state, ...more] = told.splice(0);
    deepEqual(more, []);
    equal(state?.count, words.length);
    for (const [index, word] of words.entries()) match(state?.problems[index] ?? '', word);
  };
  await said(/\/later: ENOENT.*: create it, or correct --services$/);
  mkdirSync(services);
  await said();
  put('a.yaml', '{');
  await said(/\/a\.yaml: document 0: not YAML: /);
  put('a.yaml', service('web'), 'kind: Service\nmetadata: { name: API, namespace: demo }\n');
  await said(/\/a\.yaml: document 1: metadata: expected .* lower case .*, got "demo\/API"$/);
  put('a.yaml', service('web', { ports: [0] }), service('api'));
  await said(/\/a\.yaml: demo\/web: spec\.ports\[0\]\.port: expected 1-65535, got 0/);
  put('b.yaml', service('api'));
  await said(/: demo\/web: /, /\/b\.yaml: demo\/api: demo\/api is also in \/\S+\/a\.yaml,/);
  put('a.yaml', service('web'), service('api'));
  await said(/\/b\.yaml: demo\/api: demo\/api is also in \/\S+\/a\.yaml,/);
  rmSync(join(services, 'a.yaml'));
  await said();
  put('b.yaml', service('api', { ports: [81] }));
  await untilStatus(running, ({ vips }) => vips[0]?.services[0]?.ports[0]?.port === 81);
  put('b.yaml', service('api', { ports: [-1] }));
  await said(/\/b\.yaml: demo\/api: spec\.ports\[0\]\.port: expected 1-65535, got -1/);
});
