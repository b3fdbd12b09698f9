// What the doctor makes of sysctls; test/kernel/doctor-answers.test.ts has a kernel that obeys them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../../src/cli/doctor/report.ts';
import { examine } from '../../src/cli/doctor.ts';
import { machineOf } from './doctor-machine.ts';

async function check(name: string, files: Readonly<Record<string, string>>): Promise<Check> {
  const { checks } = await examine(machineOf({ files }));
  const found = checks.find((one) => one.name === name);
  assert.ok(found, `no check ${name}`);
  return found;
}

/** Files of /proc by their path after `conf/`. */
function conf(version: 4 | 6, values: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([path, value]) => [`/proc/sys/net/ipv${version}/conf/${path}`, `${value}\n`]),
  );
}

test('the arp_ignore check names the sysctls to set, and ignores lo and default', async () => {
  const harmless = { 'all/arp_ignore': 1, 'lo/arp_ignore': 8, 'default/arp_ignore': 3, 'eth0/arp_ignore': 2 };
  assert.equal((await check('arp_ignore', conf(4, harmless))).result, 'ok');
  const { result, found, next } = await check(
    'arp_ignore',
    conf(4, { 'all/arp_ignore': 3, 'lo/arp_ignore': 0, 'eth0/arp_ignore': 0, 'eth0.7/arp_ignore': 8 }),
  );
  assert.deepEqual(
    [result, found.split(':')[0], next],
    [
      'warn',
      '3 on eth0, 8 on eth0.7',
      'sysctl -w net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/eth0.7/arp_ignore=1',
    ],
  );
});

test('the arp_ignore check lists no interfaces if one value applies to all', async () => {
  const links = Array.from({ length: 200 }, (_, at) => [`veth${at}/arp_ignore`, 0] as const);
  const { found } = await check('arp_ignore', conf(4, { ...Object.fromEntries(links), 'all/arp_ignore': 8 }));
  assert.match(found, /^8 on all interfaces: /);
});

test('the disable_ipv6 check names interfaces without IPv6, and is ok', async () => {
  const of = async (files: Readonly<Record<string, string>>): Promise<readonly string[]> => {
    const { result, found } = await check('disable_ipv6', files);
    return [result, found];
  };
  assert.deepEqual(await of(conf(6, { 'all/disable_ipv6': 0, 'eth0/disable_ipv6': 0 })), [
    'ok',
    'IPv6 is on',
  ]);
  assert.deepEqual(
    await of(conf(6, { 'all/disable_ipv6': 1, 'lo/disable_ipv6': 1, 'eth0/disable_ipv6': 1 })),
    ['ok', 'IPv6 is off on eth0: no IPv6 VIP can be there'],
  );
  assert.deepEqual(await of({ '/proc/net/if_inet6': 'ENOENT' }), [
    'ok',
    'this kernel has no IPv6: this node can hold only IPv4 VIPs',
  ]);
});
