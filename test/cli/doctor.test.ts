// What the doctor makes of what a machine answers; test/kernel/doctor.test.ts asks real ones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checked, messages, type Told, withoutNftables } from './doctor-machine.ts';

const EPERM = 1;
const ENOENT = 2;
const ENOPROTOOPT = 92;
const IPSET_ERR_FIND_TYPE = 4098;
const setMatchOptions = [66, 68];

test('EPERM of the kernel fails CAP_NET_ADMIN, whatever the effective set says', async () => {
  const refused = [
    messages.deleteAddress,
    messages.generation,
    messages.ipsetType,
    0xa01,
    0xa04,
    0xa07,
    0xa17,
  ];
  const { report, of } = await checked({
    judge: async () => [{ object: null, errno: EPERM, words: '' }],
    errnos: Object.fromEntries(refused.map((type) => [type, EPERM])),
    files: { '/proc/self/status': 'CapEff:\t000001ffffffffff\n', '/proc/net/ip_tables_names': 'EACCES' },
    option: () => EPERM,
  });
  assert.equal(of('CAP_NET_ADMIN').result, 'fail');
  assert.match(of('CAP_NET_ADMIN').found, /EPERM.*another user namespace/);
  assert.match(report.next, /NET_ADMIN/);
  assert.equal(report.firewall, null);
  for (const name of [
    'nf_tables',
    'xtables raw',
    'set match',
    'ipset',
    'foreign chain',
    'iptables',
    'flowtable',
  ])
    assert.deepEqual([of(name).result, of(name).next], ['warn', 'see CAP_NET_ADMIN'], name);
  assert.deepEqual(report.rules, { legacy: null, nft: null });
});

test('without CAP_NET_RAW the set match is not known, and no module is reported as missing', async () => {
  for (const without of [{}, withoutNftables]) {
    const { report, of } = await checked({ ...without, rawSocket: () => EPERM, option: () => EPERM });
    assert.equal(of('CAP_NET_RAW').result, 'fail');
    assert.equal(of('set match').result, report.firewall === null ? 'fail' : 'warn');
    assert.deepEqual(
      [of('set match').found, of('set match').next],
      ['not known: EPERM: Operation not permitted', 'see CAP_NET_RAW'],
    );
    assert.match(report.next, /capabilities\.add/);
    assert.doesNotMatch(JSON.stringify(of('xtables raw')), /modprobe iptable_raw/);
  }
});

test('without nf_tables xtables is chosen, and nf_tables is a warning', async () => {
  const { report, of } = await checked(withoutNftables);
  assert.equal(report.firewall, 'xtables');
  const { result, option, next } = of('nf_tables');
  assert.deepEqual([result, option], ['warn', 'CONFIG_NF_TABLES']);
  assert.match(next, /modprobe nf_tables/);
  assert.equal(report.next, 'nothing to do');
});

test('a missing part of xtables is a warning while nftables serves, with one step each', async () => {
  const noMatch = await checked({
    option: (_, name, value) => (setMatchOptions.includes(name) ? ENOENT : value),
  });
  assert.equal(noMatch.report.firewall, 'nftables');
  assert.deepEqual([noMatch.of('set match').result, noMatch.of('xtables raw').result], ['warn', 'ok']);
  assert.match(noMatch.of('set match').next, /modprobe xt_set/);
  const noSets = await checked({ errnos: { [messages.ipsetType]: 22 } });
  assert.equal(noSets.of('ipset').result, 'warn');
  assert.match(noSets.of('ipset').next, /modprobe ip_set\b.*CONFIG_IP_SET/);
  const noType = await checked({ errnos: { [messages.ipsetType]: IPSET_ERR_FIND_TYPE } });
  assert.match(noType.of('ipset').next, /modprobe ip_set_hash_ip && modprobe ip_set_hash_ipport/);
  const noTables = await checked({ option: () => ENOPROTOOPT });
  assert.equal(noTables.of('xtables raw').option, 'CONFIG_IP_NF_IPTABLES');
  assert.match(noTables.of('xtables raw').next, /modprobe ip_tables && modprobe ip6_tables/);
});

test('without a firewall both checks fail, and the next step is that of the nearer one', async () => {
  const { report, of } = await checked({ ...withoutNftables, option: () => ENOPROTOOPT });
  assert.equal(report.firewall, null);
  assert.deepEqual([of('nf_tables').result, of('xtables raw').result], ['fail', 'fail']);
  assert.equal(of('ipset').result, 'ok');
  assert.equal(report.next, of('nf_tables').next);
  const dep = { '/lib/modules/6.1.0-test/modules.dep': 'kernel/x/ip_tables.ko:\nkernel/x/ip6_tables.ko:\n' };
  const absent = await checked({ ...withoutNftables, option: () => ENOPROTOOPT, files: dep });
  assert.match(absent.of('nf_tables').next, /comes without nf_tables/);
  assert.match(
    absent.report.next,
    /^modprobe ip_tables/,
    'a module that modprobe loads is nearer than another kernel',
  );
});

test('the doctor chooses xtables with mangle instead of raw, and not without match conntrack', async () => {
  const answer = { family: 4, config: 'CONFIG_X', module: 'x', errno: ENOENT } as const;
  const mangle = { ...answer, subject: 'table mangle', errno: 0 };
  const noRaw = await checked({
    ...withoutNftables,
    askXtables: async () => [{ ...answer, subject: 'table raw' }, mangle],
  });
  assert.equal(noRaw.report.firewall, 'xtables');
  assert.deepEqual([noRaw.of('xtables').result, noRaw.of('xtables raw').result], ['warn', 'ok']);
  assert.match(noRaw.of('xtables').found, /guarded in mangle/);
  const noMatch = await checked({
    ...withoutNftables,
    askXtables: async () => [mangle, { ...answer, subject: 'match conntrack' }],
  });
  assert.deepEqual([noMatch.report.firewall, noMatch.of('xtables').result], [null, 'fail']);
  assert.match(noMatch.of('xtables').found, /match conntrack/);
});

test('the raw tables are asked for only if xtables would be used', async () => {
  const asked: number[] = [];
  const option: Told['option'] = (_, name, value) => {
    asked.push(name);
    return value;
  };
  const files = { '/proc/modules': 'x_tables 1 0 - Live 0x0\n' };
  const { of } = await checked({ option, files });
  assert.ok(!asked.includes(64));
  assert.match(of('xtables raw').found, /not probed/);
  const alone = await checked({ ...withoutNftables, option, files });
  assert.ok(asked.includes(64));
  assert.match(alone.of('xtables raw').found, /the table answers/);
  const dep = { '/lib/modules/6.1.0-test/modules.dep': 'kernel/x/iptable_filter.ko.xz:\n' };
  const absent = await checked({ option, files: { ...files, ...dep } });
  assert.equal(absent.of('xtables raw').result, 'warn');
  assert.match(absent.of('xtables raw').next, /comes without iptable_raw, ip6table_raw.*CONFIG_IP_NF_RAW/);
});

test('impossible module loading fails if a module is missing, and else warns', async () => {
  const disabled = { '/proc/sys/kernel/modules_disabled': '1\n' };
  const served = await checked({ files: disabled });
  assert.equal(served.of('module loading').result, 'warn');
  assert.match(served.of('module loading').found, /impossible.*modules_disabled/);
  const missing = await checked({ ...withoutNftables, option: () => ENOPROTOOPT, files: disabled });
  assert.equal(missing.of('module loading').result, 'fail');
  assert.match(missing.report.next, /name nf_tables in \/etc\/modules-load\.d.*boot again/);
  const noHelper = await checked({ files: { '/proc/sys/kernel/modprobe': '\n' } });
  assert.match(noHelper.of('module loading').found, /impossible: kernel\.modprobe is empty/);
});

test('a full conntrack table and recent complaints in the kernel log are warnings', async () => {
  const folder = '/proc/sys/net/netfilter/nf_conntrack_';
  const full = await checked({ files: { [`${folder}count`]: '262000\n', [`${folder}max`]: '262144\n' } });
  assert.equal(full.of('conntrack').result, 'warn');
  assert.match(full.of('conntrack').next, /nf_conntrack_max/);
  const said = async (text: string, atSeconds = 900) =>
    (await checked({ log: () => [{ text, atSeconds }] })).of('kernel log');
  const drops = await said('nf_conntrack: nf_conntrack: table full, dropping packet');
  assert.deepEqual([drops.result, drops.next], ['warn', 'raise net.netfilter.nf_conntrack_max']);
  assert.match(drops.found, /table full.*100 s ago/);
  assert.equal((await said('xt_set: Unknown symbol ip_set_test (err -2)')).result, 'warn');
  for (const [set, next] of Object.entries({ allow4: /--set-size/, sent6: /egress/, seen4: /nothing/ }))
    assert.match((await said(`Set vipward-${set} is full, maxelem 1024 reached`)).next, next);
  assert.equal((await said('eth0: link becomes ready')).result, 'ok');
  assert.equal((await said('nfs: server x failed')).result, 'ok');
  assert.equal((await said('nf_conntrack: table full', -90_000)).result, 'ok');
  assert.match((await checked({ log: () => ({ code: 'EPERM' }) })).of('kernel log').found, /EPERM/);
});
