// Folders for the state of a process: made with those they are in, once, and by several callers at once.
import { equal, rejects } from 'node:assert/strict';
import { mkdtempDisposable, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../../src/process/folder.ts';

test('a folder and those it is in are made with the mode, also by several callers at once', async () => {
  await using base = await mkdtempDisposable(join(tmpdir(), 'vipward-folder-'));
  const path = join(base.path, 'a', 'b', 'c');
  await Promise.all([1, 2, 3].map(() => makeFolder(path, 0o700)));
  for (const made of [path, join(base.path, 'a')]) equal((await stat(made)).mode & 0o777, 0o700);
  await makeFolder(path, 0o755);
  equal((await stat(path)).mode & 0o777, 0o700);
});

test('no folder is made where a file is, or on a file system that takes none', async () => {
  await using base = await mkdtempDisposable(join(tmpdir(), 'vipward-folder-'));
  const file = join(base.path, 'file');
  await writeFile(file, '');
  await rejects(makeFolder(file, 0o700), { code: 'EEXIST' });
  await rejects(makeFolder(join(file, 'in'), 0o700), { code: 'ENOTDIR' });
  await rejects(makeFolder('/proc/vipward/state', 0o700), { code: 'ENOENT' });
});
