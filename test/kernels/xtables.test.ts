// Debian's 6.1 without nf_tables: xtables is chosen and serves, and where more is missing it is named. Each
// boot is emulated (boot.sh), and nothing here is timed.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

const kernel = '6.1';
const boot = 'test/kernels/boot.sh';
const guestSeconds = 600;
const load = 'modprobe ip_tables; modprobe ip6_tables; ';
const tools = ['iptables-legacy', 'iptables-legacy-save', 'iptables-legacy-restore', 'xtables-legacy-multi'];
const brought = [
  ...['src', 'test', 'package.json', 'build/syscalls.node', 'build/namespaces.node', '/etc/protocols'],
  ...readdirSync('node_modules')
    .filter((name) => !/^(\.|@|node-|typescript$)/.test(name))
    .map((name) => join('node_modules', name)),
  ...[...tools, ...tools.map((name) => name.replace('ip', 'ip6')), 'ipset', 'ip'].map(
    (name) => `/usr/sbin/${name}`,
  ),
  ...globSync('/usr/lib/*/xtables'),
  process.execPath,
].filter((path) => existsSync(path));

/** What a guest lacks, what is loaded in it, and what the agent says is missing; null where it serves. */
const guests = [
  { without: ['nf_tables'], before: load, missing: null },
  { without: ['nf_tables'], before: '', missing: 'modprobe ip_tables ip6_tables' },
  { without: ['nf_tables', 'ip_set'], before: load, missing: 'modprobe ip_set_hash_ip\\)' },
  {
    without: ['nf_tables', 'iptable_raw', 'iptable_mangle'],
    before: load,
    missing: 'CONFIG_IP_NF_RAW \\(modprobe iptable_raw\\)',
  },
] as const;

describe('on a kernel without nf_tables', { concurrency: 2 }, () => {
  for (const { without, before, missing } of guests) {
    const name = missing === null ? 'xtables serves' : `what is missing is named: ${missing}`;
    test(`${name} (without ${without}; ${before})`, { skip: cannotBoot() }, async () => {
      const files = missing === null ? ['xtables', 'xtables-auto'] : ['xtables-auto'];
      const paths = files.map((file) => `test/kernel/${file}.test.ts`).join(' ');
      const said = missing === null ? '' : `export VIPWARD_EXPECT_MISSING='${missing}'; `;
      const command = `${before}${said}exec ${process.execPath} --test --test-isolation=none ${paths}`;
      const output = await run([
        ...['-m', '2048', '-t', String(guestSeconds)],
        ...without.flatMap((module) => ['-w', module]),
        ...brought.flatMap((path) => ['-a', path]),
        ...[kernel, 'sh', '-c', `mkdir -p /run; ${command}`],
      ]);
      assert.match(output, /^ℹ fail 0$/m, output);
      assert.match(output, missing === null ? /auto: xtables/ : /^ℹ pass 1$/m, output);
    });
  }
});

async function run(argv: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(boot, [...argv], { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout ?? ''}${stderr ?? String(error)}`;
  }
}

/**
 * Why this is not tried here, or false. The run has no network, so the kernel must have been fetched
 * before.
 */
function cannotBoot(): string | false {
  const needed = ['qemu-system-x86_64', 'busybox', 'cpio', 'xz', 'iptables-legacy', 'ipset'];
  const absent = needed.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  if (absent.length > 0) return `${absent.join(', ')} missing: apt install qemu-system-x86 iptables ipset`;
  const cache = process.env['CACHE'] ?? join(tmpdir(), `kernels-${process.getuid?.() ?? 0}`);
  const fetched = existsSync(cache) && readdirSync(cache).some((name) => name.startsWith(`${kernel}.`));
  return fetched ? false : `kernel ${kernel} is not fetched: run ${boot} -f ${kernel}`;
}
