// A reader thread that gets no memory for a while loses no event.
import { deepEqual, equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = new URL('../../src/host/native.ts', import.meta.url).href;
const program = `
  import { loadNative } from ${JSON.stringify(source)};
  const native = loadNative();
  const fd = native.socket(2, 2, 0);
  const address = new Uint8Array([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  native.bind(fd, address);
  native.getsockname(fd, address);
  const alive = setInterval(() => {}, 1000);
  const heard = [];
  native.watch(fd, (event) => {
    heard.push(typeof event === 'number' ? event : event[0]);
    if (heard.length < 3) return;
    console.log(heard.join(' '));
    clearInterval(alive);
  });
  for (const byte of [1, 2, 3]) native.send(fd, new Uint8Array([byte]), 0, address);
`;

test('the reader thread delivers every event once it gets memory', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-memory-'));
  try {
    const library = join(folder, 'no-memory.so');
    const file = fileURLToPath(new URL('no-memory.c', import.meta.url));
    const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, file, '-ldl'], {
      encoding: 'utf8',
    });
    equal(built.stderr, '');
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, LD_PRELOAD: library },
      encoding: 'utf8',
      timeout: 20_000,
    });
    deepEqual([status, stdout], [0, '1 2 3\n']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
