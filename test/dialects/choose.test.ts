// The choice of the firewall from the answers of a kernel, which are given here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, type Choice, choose } from '../../src/dialects/choose.ts';
import { questions, tableQuestions } from '../../src/dialects/xtables/probe.ts';

const EPERM = 1;
const ENOENT = 2;
const EINVAL = 22;
const ENOPROTOOPT = 92;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

/** Every question answered with yes, but those whose subject is named. */
function answers(no: Readonly<Record<string, number>> = {}): Answer[] {
  const asked = [
    ...questions(),
    ...tableQuestions('raw'),
    ...tableQuestions('mangle'),
    ...tableQuestions('filter'),
  ];
  return asked.map(({ family, subject, config, module }) => {
    return { family, subject, config, module, errno: no[subject] ?? 0 };
  });
}

function missing(choice: Choice): string {
  assert.equal(choice.name, null);
  return choice.name === null ? choice.missing.join('\n') : '';
}

test('choose takes nf_tables wherever it answers, unless xtables is wished for', () => {
  assert.deepEqual(choose('auto', 0, []), { name: 'nftables' });
  assert.deepEqual(choose('nftables', 0, []), { name: 'nftables' });
  assert.equal(choose('xtables', 0, answers()).name, 'xtables');
});

test('without nf_tables choose takes xtables, in the tables that exist', () => {
  assert.deepEqual(choose('auto', EOPNOTSUPP, answers()), {
    name: 'xtables',
    fragments: true,
    localAddresses: true,
    shortfalls: [],
    places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
  });
  const noRaw = choose('auto', EOPNOTSUPP, answers({ 'table raw': ENOENT }));
  assert.deepEqual(noRaw.name === 'xtables' && noRaw.places.guard, 'mangle');
  assert.match(
    noRaw.name === 'xtables' ? noRaw.shortfalls.join() : '',
    /IP_NF_RAW .*in mangle, after conntrack/,
  );
  const noMangle = choose('auto', EOPNOTSUPP, answers({ 'table mangle': ENOENT, 'match frag': ENOENT }));
  assert.deepEqual(noMangle.name === 'xtables' && noMangle.places, {
    guard: 'raw',
    input: 'filter',
    egress: null,
  });
  assert.deepEqual(noMangle.name === 'xtables' && noMangle.fragments, false);
});

test('choose names what is missing and the command that loads it', () => {
  const cases: readonly [Readonly<Record<string, number>>, RegExp][] = [
    [
      { 'match set': ENOPROTOOPT, 'match icmp': ENOPROTOOPT },
      /ip_tables: .*\(modprobe ip_tables ip6_tables\)/,
    ],
    [{ 'match set': ENOENT }, /match set of IPv6: ENOENT: .*CONFIG_NETFILTER_XT_SET \(modprobe xt_set\)/],
    [{ 'type hash:ip': EINVAL }, /type hash:ip of IPv4: .*CONFIG_IP_SET_HASH_IP \(modprobe ip_set_hash_ip\)/],
    [{ 'type hash:ip,port,net': 4098 }, /CONFIG_IP_SET_HASH_IPPORTNET \(modprobe ip_set_hash_ipportnet\)/],
    [{ 'table raw': ENOENT, 'table mangle': ENOENT }, /CONFIG_IP_NF_RAW \(modprobe iptable_raw\)/],
    [{ 'table raw': ENOENT, 'table mangle': ENOENT }, /CONFIG_IP6_NF_MANGLE \(modprobe ip6table_mangle\)/],
    [{ 'match set': EPERM }, /CAP_NET_ADMIN/],
  ];
  for (const [no, words] of cases) {
    const text = missing(choose('auto', EOPNOTSUPP, answers(no)));
    assert.match(text, words);
    assert.match(text, /nf_tables: EOPNOTSUPP.*modprobe nf_tables/);
    assert.doesNotMatch(missing(choose('xtables', 0, answers(no))), /nf_tables/);
  }
  assert.match(missing(choose('nftables', EPERM, [])), /CAP_NET_ADMIN/);
  assert.doesNotMatch(missing(choose('nftables', EOPNOTSUPP, [])), /tables:.*\n/);
});

test('choose refuses xtables on a kernel without IPv6 and says why', () => {
  const no6 = answers().map((answer) => ({ ...answer, errno: answer.family === 6 ? EAFNOSUPPORT : 0 }));
  const reason = 'xtables: no IPv6 in this kernel; boot without ipv6.disable=1, or use nf_tables';
  assert.equal(missing(choose('xtables', 0, no6)), reason);
});
