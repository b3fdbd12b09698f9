// A process names the capability that it lacks, and does not take what it may not read for empty.
import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFirewall } from '../../src/agent/firewall/open-firewall.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { hasTool, nft, ownKernel, plain, port, vip } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const skip = cannotUnshare() || hasTool('nft', '--version') || hasTool('setpriv', '--version');
const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
const without = (right: string, ...words: readonly string[]) =>
  ['setpriv', '--bounding-set', `-${right}`, process.execPath, ...words] as const;

test('an agent without CAP_NET_RAW does not start and names the missing capability', { skip }, () => {
  using own = ownKernel();
  const state = mkdtempSync(join(tmpdir(), 'vipward-rights-'));
  const flags = ['--node', 'node1', '--allow', '10.77.0.0/24', '--controller', 'ws://127.0.0.1:9470'];
  const argv = [program, 'agent', ...flags, '--state', state];
  const { status, stderr } = runIn(own.namespace, without('net_raw', ...argv));
  rmSync(state, { recursive: true });
  equal(status, 1);
  match(stderr, /^vipward agent: .*EPERM.*CAP_NET_RAW; .*capabilities\.add: \[NET_ADMIN, NET_RAW\]$/m);
  equal(nft(own, ['list', 'ruleset']), '');
});

test('cleanup without CAP_NET_ADMIN names the missing capability', { skip }, () => {
  using own = ownKernel();
  const { status, stderr } = runIn(own.namespace, without('net_admin', program, 'cleanup'));
  equal(status, 1);
  match(stderr, /^vipward cleanup: nfnetlink dump: EPERM.*; run it as root, or give it CAP_NET_ADMIN\n$/);
});

test('cleanup without CAP_NET_ADMIN names the addresses that it cannot remove in one line', { skip }, () => {
  using own = ownKernel();
  const mark = ['metric', '1986621559'];
  for (const last of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    const added = runIn(own.namespace, ['ip', 'address', 'add', `10.88.0.${last}/32`, 'dev', 'lo', ...mark]);
    equal(added.status, 0, added.stderr);
  }
  const { status, stderr } = runIn(own.namespace, without('net_admin', program, 'cleanup'));
  equal(status, 1);
  const named = /^vipward cleanup: could not remove (10\.88\.0\.\d, ){7}10\.88\.0\.\d and 1 more: /;
  match(stderr, named);
  match(stderr, /: EPERM.*; run it as root, or give it CAP_NET_ADMIN\n$/);
  equal(stderr.split('\n').length, 2);
});

test('cleanup without CAP_NET_ADMIN of an interface without VIPs names the missing capability', {
  skip,
}, () => {
  using own = ownKernel();
  for (const words of [
    ['link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'far'],
    ['address', 'add', '10.88.0.1/32', 'dev', 'lan', 'metric', '1986621559'],
  ])
    equal(runIn(own.namespace, ['ip', ...words]).status, 0);
  const argv = [program, 'cleanup', '--interface', 'far'];
  const { status, stderr } = runIn(own.namespace, without('net_admin', ...argv));
  equal(status, 1);
  match(stderr, /^vipward cleanup: nfnetlink dump: EPERM.*; run it as root, or give it CAP_NET_ADMIN\n$/);
});

test('a dump without CAP_NET_ADMIN fails with EPERM', { skip }, () => {
  using own = ownKernel();
  const read = [
    `import { Kernel } from '${source('host/kernel.ts')}';`,
    `import { loadNative } from '${source('host/native.ts')}';`,
    `import { dumpRequests } from '${source('dialects/nftables/dumps.ts')}';`,
    "await new Kernel(loadNative()).dump(dumpRequests()).then(() => console.log('read'), String)",
    '  .then((words) => console.log(words));',
  ];
  const { stdout } = runIn(own.namespace, without('net_admin', '--input-type=module', '-e', read.join('\n')));
  match(stdout, /^Error: nfnetlink dump: EPERM/);
});

test('a probe that fails with ENOMEM is an error, not a kernel without nf_tables', { skip }, async () => {
  using own = ownKernel();
  const kernel = Object.assign(own.kernel, { commit: () => [{ object: null, errno: 12, words: '' }] });
  const options = { ...plain, wish: 'auto', owner: false } as const;
  await rejects(openFirewall(kernel, options), { code: 'SystemCall', errno: 12 });
});

test('a dump that fails changes neither the kernel nor the ledger', { skip }, async () => {
  using own = ownKernel();
  const ledger = new Ledger();
  const web = vip('10.50.0.1', [port(80)]);
  const failures: Error[] = [];
  const withdrawn: string[] = [];
  const rules = rulesOf({
    kernel: {
      commit: (transaction) => own.kernel.commit(transaction),
      dump: (requests) => (failures[0] ? Promise.reject(failures[0]) : own.kernel.dump(requests)),
    },
    ledger,
    withdraw: async (keys) => {
      withdrawn.push(...keys);
    },
  });
  ledger.wanted.set(web.address, web);
  await rules.reconcile(true);
  const before = nft(own, ['list', 'ruleset']);
  failures.push(new Error('torn'));
  ledger.wanted.clear();
  await rejects(rules.reconcile(true), /torn/);
  equal(nft(own, ['list', 'ruleset']), before);
  deepEqual([withdrawn, ledger.committed.get(web.address)], [[], web]);
});
