// What the doctor makes of sysctls; test/kernel/doctor-answers.test.ts has a kernel that obeys them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../../src/cli/doctor/report.ts';
import { put } from '../fake-kernel/bytes.ts';
import { hex } from '../netlink/captured.ts';
import { checked, link, machineOf, messages, rtMessage, type Told } from './doctor-machine.ts';

async function check(name: string, files: Readonly<Record<string, string>>): Promise<Check> {
  return (await checked({ files })).of(name);
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

test('arp_ignore of 3 hides a VIP only where route_localnet is off', async () => {
  const values = { 'all/arp_ignore': 3, 'eth0/arp_ignore': 0, 'eth1/arp_ignore': 0, 'eth2/arp_ignore': 8 };
  const of = async (local: Readonly<Record<string, number>>): Promise<readonly string[]> => {
    const { found, next } = await check('arp_ignore', conf(4, { ...values, ...local }));
    return [found.split(':')[0] ?? '', next];
  };
  const keys = 'net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/eth2/arp_ignore=1';
  assert.deepEqual(await of({ 'eth0/route_localnet': 1 }), ['3 on eth1, 8 on eth2', `sysctl -w ${keys}`]);
  assert.deepEqual(await of({ 'all/route_localnet': 1 }), ['8 on eth2', `sysctl -w ${keys}`]);
  const some = { 'all/arp_ignore': 3, 'eth0/arp_ignore': 0, 'eth0/route_localnet': 1, 'eth1/arp_ignore': 0 };
  assert.match((await check('arp_ignore', conf(4, some))).found, /^3 on eth1: /);
});

/** RTM_NEWADDR with the mark of our addresses, or without. */
function address(index: number, bytes: string, isOurs = true): Uint8Array {
  const header = Uint8Array.of(bytes.length === 8 ? 2 : 10, bytes.length * 4, 0, 254, index, 0, 0, 0);
  return rtMessage(20, header, [put(2, hex(bytes)), put(11, Uint8Array.of(isOurs ? 0x76 : 0))]);
}

test('a strict rp_filter is a warning where the answers of a VIP leave by another interface', async () => {
  const addresses = [
    address(2, '0a4d0064'),
    address(2, '0a4d0065'),
    address(3, '0a4d0066'),
    address(4, '0a4d0067', false),
    address(5, 'fd77'.padEnd(32, '0')),
  ];
  const asked: string[] = [];
  const of = async (way: number, values: Readonly<Record<string, number>>) => {
    asked.length = 0;
    const told: Told = {
      files: conf(4, values),
      answers: {
        [messages.links]: Buffer.concat([link(2, 'eth0'), link(4, 'eth2')]),
        22: Buffer.concat(addresses),
        26:
          way === 0
            ? new Uint8Array()
            : rtMessage(24, new Uint8Array(12), [put(4, Uint8Array.of(way, 0, 0, 0))]),
      },
    };
    const ask: Told['ask'] = (request) => {
      if (request.bytes[4] === 26 && request.bytes[16] === 2)
        asked.push(Buffer.from(request.bytes.subarray(-4)).toString('hex'));
      return machineOf(told).ask(request);
    };
    const { found, next } = (await checked({ ...told, ask })).of('rp_filter');
    return [found, next];
  };
  const leaves = (name: string, vip: string, way: string) =>
    `strict on ${name}, which has ${vip}, but its replies to other networks leave by ${way}`;
  const advice = 'or add a rule that routes replies out where the VIP is';
  assert.deepEqual(await of(4, { 'all/rp_filter': 0, 'eth0/rp_filter': 1 }), [
    leaves('eth0', '10.77.0.101', 'eth2'),
    `sysctl -w net/ipv4/conf/eth0/rp_filter=2, ${advice}`,
  ]);
  assert.deepEqual(asked, ['0a4d0065'], 'one VIP of an interface, and only where it is strict');
  assert.deepEqual(await of(9, { 'all/rp_filter': 1 }), [
    [leaves('eth0', '10.77.0.101', '9'), leaves('3', '10.77.0.102', '9')].join('; '),
    `sysctl -w net/ipv4/conf/eth0/rp_filter=2 net/ipv4/conf/3/rp_filter=2, ${advice}`,
  ]);
  const none = ['drops no packet to a VIP of this node', 'nothing to do'];
  assert.deepEqual(await of(2, { 'eth0/rp_filter': 1 }), none);
  assert.deepEqual(await of(0, { 'eth0/rp_filter': 1 }), none);
  assert.deepEqual(await of(4, { 'all/rp_filter': 1, 'eth0/rp_filter': 2, '3/rp_filter': 2 }), none);
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
