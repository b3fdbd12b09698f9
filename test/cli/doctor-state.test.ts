// What the doctor makes of rights, modules, foreign chains and the state of the host, in its own words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, message, put } from '../fake-kernel/bytes.ts';
import { hex } from '../netlink/captured.ts';
import { checked, machineOf, messages, type Told, withoutNftables } from './doctor-machine.ts';

const EPERM = 1;
const EPROTONOSUPPORT = 93;
const [getTable, getChain, getRule] = [0xa01, 0xa04, 0xa07];

async function said(name: string, told: Told): Promise<readonly string[]> {
  const { result, found } = (await checked(told)).of(name);
  return [result, found];
}

test('the questions about the rights have the bytes of changes that change nothing', async () => {
  const asked = new Map<string, Uint8Array>();
  const ask: Told['ask'] = (request) => {
    asked.set(`${request.door} ${request.bytes[4]}`, request.bytes);
    return machineOf().ask(request);
  };
  await checked({ ask });
  const bytes = (type: string, after: string) => hex(`${type} 01000000 00000000 ${after}`);
  assert.deepEqual(
    asked.get('rtnetlink 21'),
    bytes('20000000 15000500', '02200000 feffff7f 08000200 c0000201'),
  );
  assert.deepEqual(asked.get('nfnetlink 16'), bytes('14000000 100a0100', '00000000'));
});

test('a refusal names its question, and says so if the process has the capability', async () => {
  const refused = (type: number, effective?: string): Told => ({
    errnos: { [type]: EPERM },
    files: effective === undefined ? {} : { '/proc/self/status': `NoCapEff:\tff\nCapEff:\t${effective}\n` },
  });
  const words = 'EPERM: Operation not permitted';
  const elsewhere =
    '; the effective set has it, but this network namespace belongs to another user namespace';
  const address = 'RTM_DELADDR on an interface that is not there';
  for (const [told, found] of [
    [refused(messages.deleteAddress), `${address}: ${words}`],
    [refused(messages.deleteAddress, '000001ffffffefff'), `${address}: ${words}`],
    [refused(messages.deleteAddress, '0000000000001000'), `${address}: ${words}${elsewhere}`],
    [refused(messages.generation), `NFT_MSG_GETGEN: ${words}`],
    [{ ask: async () => EPERM }, `${address}: ${words}`],
  ] as const)
    assert.deepEqual(await said('CAP_NET_ADMIN', told), ['fail', found]);
});

test('nf_tables without some abilities works, and a kernel without nfnetlink lacks it', async () => {
  const judge = async () => [{ object: 'table flags owner and persist' as never, errno: 95, words: '' }];
  assert.deepEqual(await said('nf_tables', { judge }), [
    'ok',
    'works; the agent repairs its table after changes by other processes (no flags owner, persist)',
  ]);
  const none: Told = { ...withoutNftables, judge: async () => EPROTONOSUPPORT };
  assert.deepEqual(await said('nf_tables', none), [
    'warn',
    'missing: EPROTONOSUPPORT: Protocol not supported',
  ]);
});

test('a raw table that is there, or whose module can be loaded, is enough', async () => {
  const files = { '/proc/modules': '', '/proc/net/ip_tables_names': 'raw\n' };
  const dep = '/lib/modules/6.1.0-test/modules.dep';
  const found = async (more: Readonly<Record<string, string>>): Promise<readonly string[]> =>
    await said('xtables raw', { files: { ...files, ...more } });
  const there = 'the table is there';
  assert.deepEqual(await found({ '/proc/net/if_inet6': 'ENOENT' }), ['ok', there]);
  assert.deepEqual(await found({ '/proc/net/ip6_tables_names': 'filter\nraw\n' }), ['ok', there]);
  assert.deepEqual(await found({ [dep]: 'kernel/net/ip6table-raw.ko.zst: x.ko\n' }), [
    'ok',
    `${there}; ip6table_raw can be loaded`,
  ]);
  assert.deepEqual(await found({ [dep]: '' }), ['warn', 'this kernel comes without ip6table_raw']);
  const builtIn = { '/lib/modules/6.1.0-test/modules.builtin': 'kernel/net/ip6table_raw.ko\n' };
  assert.deepEqual(await found({ ...builtIn, [dep]: '' }), ['ok', `${there}; ip6table_raw is in the kernel`]);
});

test('a kernel without modules is sound if its firewall is built in', async () => {
  const files = { '/proc/modules': 'ENOENT' };
  const built = 'impossible: this kernel has no modules';
  assert.deepEqual(await said('module loading', { files }), ['ok', `${built}, but the firewall is built in`]);
  const none: Told = { ...withoutNftables, option: () => 92, files };
  assert.deepEqual(await said('module loading', none), ['fail', built]);
});

test('a conntrack table is nearly full from nine tenths on', async () => {
  const at = async (count: string, max = '1000'): Promise<readonly string[]> => {
    const folder = '/proc/sys/net/netfilter/nf_conntrack_';
    return await said('conntrack', { files: { [`${folder}count`]: `${count}\n`, [`${folder}max`]: max } });
  };
  assert.deepEqual(await at('899'), ['ok', '899 of 1000 entries']);
  assert.deepEqual(await at('900'), ['warn', '900 of 1000 entries: nearly full']);
  const unused = ['ok', 'not in use; vipward needs it only where a port is forwarded'];
  assert.deepEqual(await at('0', 'ENOENT'), unused);
});

test('the newest complaint of the last day counts', async () => {
  const log = (lines: readonly (readonly [string, number])[]): Told => ({
    log: () => lines.map(([text, atSeconds]) => ({ text, atSeconds })),
    files: { '/proc/uptime': '100000.00 1.00\n' },
  });
  const [neighbours, module] = ['neighbour: arp_cache: neighbor table overflow!', 'request_module: no nf-x'];
  for (const [lines, found] of [
    [[[neighbours, 13_600]], `${neighbours} (86400 s ago)`],
    [[[neighbours, 13_599]], 'nothing of netfilter within a day'],
    [
      [
        [neighbours, 99_000],
        [module, 100_009],
        ['eth0: up', 100_010],
      ],
      `${module} (0 s ago)`,
    ],
  ] as const)
    assert.equal((await said('kernel log', log(lines)))[1], found);
  const step = async (text: string) => (await checked(log([[text, 99_999]]))).of('kernel log').next;
  assert.equal(await step(neighbours), 'raise net.ipv4.neigh.default.gc_thresh3 (and ipv6)');
  assert.equal(await step(module), 'the kernel requested a module and got none: see module loading');
});

test('an agent that runs, a table without one, and a table of another process are told apart', async () => {
  const table = (owner: number) => ({
    [getTable]: message({ type: 0xa00, sequence: 1 }, [
      put(1, 'vipward'),
      ...(owner === 0 ? [] : [put(7, owner)]),
    ]),
  });
  const agent = async () => ({ pid: 77, uid: 0 });
  assert.deepEqual(await said('agent', { answers: table(77), agent }), ['ok', 'runs here (pid 77)']);
  const left = 'none runs here, but table inet vipward of an earlier one is in force';
  assert.deepEqual(await said('agent', { answers: table(0) }), ['warn', left]);
  const { found, next } = (await checked({ answers: table(78) })).of('agent');
  assert.equal(found, 'table inet vipward belongs to netlink port 78, which is not an agent');
  assert.match(next, /^end the process that owns it \(usually PID 78\)/);
});

interface Chain {
  readonly family: number;
  readonly table: string;
  readonly name: string;
  /** A base chain of type filter, and its policy. */
  readonly hook?: number;
  readonly policy?: 0 | 1;
}

function chains(...list: readonly Chain[]): Told {
  const made = list.map(({ family, table, name, hook, policy = 1 }) => {
    const base =
      hook === undefined ? [] : [put(4, [put(1, hook), put(2, 10)]), put(5, policy), put(7, 'filter')];
    return message({ type: 0xa03, sequence: 1, family }, [put(1, table), put(3, name), ...base]);
  });
  return { answers: { [getChain]: concat(made), [getRule]: new Uint8Array() } };
}

test('a foreign chain that drops by its policy is named, with the command that lists it', async () => {
  const { of } = await checked(chains({ family: 2, table: 'fw', name: 'in', hook: 1, policy: 0 }));
  const { result, found, next } = of('foreign chain');
  assert.deepEqual([result, found], ['warn', 'ip fw in (input, priority 10, nft): policy drop']);
  assert.match(next, /: nft list chain ip fw in$/);
});

test('iptables-nft is told by the base chains of its tables, and by a hint of Kubernetes', async () => {
  const restricts = 'either works: the table of vipward runs first, and only restricts';
  const tool = async (...list: readonly Chain[]) => (await said('iptables', chains(...list)))[1];
  for (const family of [2, 10])
    for (const table of ['filter', 'nat', 'mangle', 'raw', 'security'])
      for (const name of ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'])
        assert.equal(await tool({ family, table, name }), `iptables-nft; ${restricts}`);
  const none = `neither iptables-nft nor iptables-legacy; ${restricts}`;
  for (const other of [
    { family: 1, table: 'filter', name: 'INPUT' },
    { family: 2, table: 'fw', name: 'INPUT' },
    { family: 2, table: 'filter', name: 'MINE' },
    { family: 2, table: 'nat', name: 'KUBE-IPTABLES-HINT' },
  ])
    assert.equal(await tool(other), none);
  const hints = ['KUBE-KUBELET-CANARY', 'KUBE-IPTABLES-HINT'].map((name) => {
    return { family: 10, table: 'mangle', name };
  });
  assert.equal(await tool(...hints), `iptables-nft (KUBE-KUBELET-CANARY in ip6 mangle); ${restricts}`);
});

test('a saved firewall with our rules is named: at the next boot it may be refused', async () => {
  const mine = '-A INPUT -p tcp --dport 22 -j ACCEPT\n';
  const ours = '-A vipward-guard -m set ! --match-set vipward-vip4 dst -j RETURN\n';
  const files = {
    '/etc/nftables.conf': mine,
    '/etc/iptables/rules.v4': mine + ours,
    '/etc/iptables/rules.v6': 'EACCES',
    '/etc/sysconfig/nftables.conf': 'table inet vipward {\n',
  };
  const { result, found, next } = (await checked({ files })).of('saved rules');
  assert.equal(result, 'warn');
  assert.equal(found, 'of vipward: /etc/sysconfig/nftables.conf, /etc/iptables/rules.v4');
  assert.match(next, /remove what is of vipward there/);
});
