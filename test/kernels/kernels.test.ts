// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, runInGuest } from './guest.ts';

const kernels = ['5.10', '6.1', '6.12'];
const chosen = process.env['VIPWARD_GUEST_TESTS'];
/**
 * The files of each process. By default those that depend most on the kernel: refusals, rights, SCTP, a
 * node's whole life, and then rules, foreign changes to them and changes of options with both firewalls. An
 * emulated machine takes fifteen to thirty times the processor time of this one; all others, an hour and a
 * half, run by name, as `VIPWARD_GUEST_TESTS='traffic-*'`.
 */
const processes =
  chosen === undefined
    ? ['{fake-kernel,life-whole,refused,rights,ruleset,traffic-sctp}', '{options,ruleset-*}'].map(filesNamed)
    : // Some set the firewall of their process for tests that others run with nftables.
      Object.values(Object.groupBy(filesNamed(chosen), (file) => String(file.includes('xtables-'))));
const tests = processes.flatMap((files = []) => files);
// The programs that disturb the node in life-busy take more than two gigabytes.
const [seconds, memoryMib] = chosen === undefined ? [2400, 2048] : [7200, 6144];
const timeoutMs = (seconds + 60) * 1000;

/** An agent with xtables loads neither by itself; one with nftables is tested without them. */
const load = 'modprobe ip_tables; modprobe ip6_tables';
const [first = '', ...others] = processes.map(
  (files = []) => `${process.execPath} --test --test-isolation=none ${files.join(' ')}`,
);
const commands = chosen === undefined ? [first, load, ...others] : [load, first, ...others];

/**
 * The oracles, what disturbs the node, the program that drops rights, and the file from which nft reads
 * protocol names.
 */
const paths = [
  ...['test', 'docs', '/etc/protocols', '/usr/bin/bash', '/usr/bin/setpriv'],
  ...globSync('/usr/bin/{flock,ping,strace,unshare}'),
  ...globSync('/usr/sbin/{nft,ip,ipset,conntrack,sysctl,tc,ip6tables-*,iptables-*,xtables-*}'),
  ...globSync('/usr/lib/*/xtables'),
];

// A guest gives way to everything else, so all three begin at once and take what is left over.
describe('on older kernels', { concurrency: kernels.length, timeout: timeoutMs }, () => {
  for (const kernel of kernels) {
    const skip = cannotBoot(kernel, ['iptables-legacy', 'ipset']);
    test(`the kernel tests pass on ${kernel}`, { skip, timeout: timeoutMs }, async () => {
      const script = ['export VIPWARD_TEST_PATIENCE=3', ...commands].join('; ');
      const output = await runInGuest({ kernel, seconds, memoryMib, paths, tests, script });
      const counts = (what: string): number[] =>
        [...output.matchAll(new RegExp(`^ℹ ${what} (\\d+)$`, 'gm'))].map(([, count]) => Number(count));
      const none = processes.map(() => 0);
      assert.deepEqual(counts('fail'), none, output);
      const passed = counts('pass').reduce((sum, count) => sum + count, 0);
      assert.ok(passed >= (chosen === undefined ? 90 : 1), `only ${passed} tests ran:\n${output}`);
      if (chosen === undefined)
        assert.match(output, /^✔ a node from its first VIP to its clean-up /m, output);
    });
  }
});

function filesNamed(glob: string): string[] {
  return globSync(`test/kernel/${glob}.test.ts`).sort();
}
