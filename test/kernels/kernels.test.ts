// The kernel tests on kernels that users run: Debian's 5.10, 6.1 and 6.12, each emulated (boot.sh). Nothing
// here is timed.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cannotBoot, runInGuest } from './guest.ts';

const kernels = ['5.10', '6.1', '6.12'];
/**
 * The tests that depend most on the kernel: rules and foreign changes to them, refusals, rights, and a node's
 * whole life. An emulated machine takes fifteen to thirty times the processor time of this one, three to four
 * minutes for these; all others, an hour and a half, run by name, as
 * `VIPWARD_GUEST_TESTS='traffic-*'`.
 */
const usual = '{fake-kernel,life-whole,refused,rights,ruleset*}';
const chosen = process.env['VIPWARD_GUEST_TESTS'] ?? usual;
const files = globSync(`test/kernel/${chosen}.test.ts`).sort();
const seconds = chosen === usual ? 1800 : 7200;
const timeoutMs = (seconds + 60) * 1000;

/** The oracles, the program that drops rights, and the file from which nft reads protocol names. */
const programs = [
  '/usr/bin/bash',
  '/usr/bin/setpriv',
  ...['nft', 'ip', 'ipset'].map((name) => `/usr/sbin/${name}`),
];
/** What the other tests compare with and disturb the node with. */
const others = [
  ...globSync('/usr/bin/{flock,ping,strace,unshare}'),
  ...globSync('/usr/sbin/{conntrack,sysctl,tc,ip6tables-*,iptables-*,xtables-*}'),
  ...globSync('/usr/lib/*/xtables'),
];
const paths = ['test', '/etc/protocols', ...programs, ...(chosen === usual ? [] : ['docs', ...others])];
/** An agent with xtables loads neither by itself. */
const before = chosen === usual ? '' : 'modprobe ip_tables; modprobe ip6_tables; ';

// A guest takes a whole core, and this file is the last to end, so all three begin at once.
describe('on older kernels', { concurrency: kernels.length, timeout: timeoutMs }, () => {
  for (const kernel of kernels) {
    test(`the kernel tests pass on ${kernel}`, { skip: cannotBoot(kernel), timeout: timeoutMs }, async () => {
      const node = `exec ${process.execPath} --test --test-isolation=none ${files.join(' ')}`;
      const script = `${before}export VIPWARD_TEST_PATIENCE=3; ${node}`;
      const output = await runInGuest({ kernel, seconds, paths, script });
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.match(output, /^ℹ fail 0$/m, output);
      assert.ok(passed >= (chosen === usual ? 45 : 1), `only ${passed} tests ran:\n${output}`);
      if (chosen === usual) assert.match(output, /^✔ a node from its first VIP to its clean-up /m, output);
    });
  }
});
