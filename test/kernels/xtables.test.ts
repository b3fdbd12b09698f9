// Debian's 6.1 without nf_tables: the agent serves with xtables, or names what else is missing. Each boot is
// emulated (boot.sh), and nothing here is timed.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, runInGuest } from './guest.ts';

const kernel = '6.1';
const seconds = 600;
const timeoutMs = (seconds + 60) * 1000;
const load = 'modprobe ip_tables; modprobe ip6_tables; ';
const tools = ['iptables-legacy', 'iptables-legacy-save', 'iptables-legacy-restore', 'xtables-legacy-multi'];
const programs = [...tools, ...tools.map((name) => name.replace('ip', 'ip6')), 'ipset', 'ip'];
const paths = [
  ...['test', '/etc/protocols', ...globSync('/usr/lib/*/xtables')],
  ...programs.map((name) => `/usr/sbin/${name}`),
];

/** The number of tests in the two files that run where xtables serves. */
const servingTests = 13;

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

describe('on a kernel without nf_tables', () => {
  for (const { without, before, missing } of guests) {
    const name =
      missing === null ? 'the agent serves with xtables' : `the agent names what is missing: ${missing}`;
    const skip = cannotBoot(kernel, ['iptables-legacy', 'ipset']);
    test(`${name} (without ${without}; ${before})`, { skip, timeout: timeoutMs }, async () => {
      const files = missing === null ? ['xtables', 'xtables-auto'] : ['xtables-auto'];
      const said = missing === null ? '' : `export VIPWARD_EXPECT_MISSING='${missing}'; `;
      const tests = files.map((file) => `test/kernel/${file}.test.ts`).join(' ');
      const node = `exec ${process.execPath} --test --test-isolation=none ${tests}`;
      const script = `mkdir -p /run; ${before}${said}${node}`;
      const output = await runInGuest({ kernel, seconds, without, paths, script });
      assert.match(output, /^ℹ fail 0$/m, output);
      assert.match(output, /^ℹ skipped 0$/m, output);
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.ok(passed >= (missing === null ? servingTests : 1), `only ${passed} tests ran:\n${output}`);
      if (missing === null) assert.match(output, /auto: xtables/, output);
    });
  }
});
