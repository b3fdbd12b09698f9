// What other programs have on a node, while the agent runs, repairs its own objects, and is cleaned up.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { lacks } from '../agent/life.ts';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { harms, isXtables, ours, owners, rulesOf, wordsOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };
const dns: Service = { name: 'dns', addresses: ['10.77.0.101', 'fd77::101'], ports: ['UDP 53'] };
const bystander: Service = { name: 'bystander', addresses: ['10.77.0.102'], ports: ['TCP 81'] };

/** Foreign tables in every family that we write to; one has a name that begins like ours. */
const foreignTables = `
table inet vipward-of-another {
  set held { type ipv4_addr; size 9; elements = { 10.77.0.100, 192.0.2.7 }; }
  counter seen { packets 7 bytes 700; }
  chain in {
    type filter hook prerouting priority -400;
    ip daddr @held ip saddr 192.0.2.7 counter packets 3 bytes 9
  }
}
table arp vipward {
  chain out { type filter hook output priority 0; arp daddr ip 192.0.2.9 counter packets 1 bytes 28; }
}
table ip another {
  map to { type inet_service : ipv4_addr; elements = { 30080 : 10.88.0.2 }; }
  chain pre { type nat hook prerouting priority -100; ip daddr 192.0.2.8 dnat to tcp dport map @to; }
}
table ip6 another {
  chain f { type filter hook forward priority 5; policy accept; ip6 saddr fd99::/64 drop; }
}
`;

/** None of these meets a packet of the test, so that their counters stand still. */
const foreignRules = `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[5:500] -A PREROUTING -s 192.0.2.10/32 -m comment --comment "of another" -j DROP
COMMIT
`;

interface Surroundings {
  readonly nft: string;
  readonly legacy: string;
  readonly addresses: string;
  readonly routes: string;
}

function addForeign(node: Node): void {
  node.run('nft -f -', { input: foreignTables });
  for (const family of ['', '6'])
    if (lacks(`ip${family}tables-legacy`) === false)
      node.run(`ip${family}tables-legacy-restore -w -c`, {
        input: family === '' ? foreignRules : foreignRules.replace('192.0.2.10/32', 'fd99::1/128'),
      });
  for (const words of [
    'address add 10.77.0.50/32 dev lan',
    'address add 10.77.0.51/24 dev lan metric 77',
    'address add fd77::50/128 dev lan nodad',
    'link add other type veth peer name other0',
    'link set other up',
    'address add 192.0.2.77/24 dev other',
    'route add 198.51.100.0/24 via 10.77.0.9 metric 1983475575',
    'route add local 203.0.113.0/24 dev lo',
    'route add 203.0.113.9 dev lan proto 118 src 10.77.0.1',
    'route add fd98::/64 via fd77::9 metric 1983475575',
  ])
    node.run(`ip ${words.includes('fd98') ? '-6 ' : ''}${words}`);
}

/**
 * Everything but what is ours by its name or its VIP. The counters of whole legacy chains are left out: the
 * packets between controller and agent pass there.
 */
function surroundings(node: Node): Surroundings {
  const tables = node
    .run('nft list tables')
    .split('\n')
    .filter((line) => line !== '' && line !== 'table inet vipward');
  const routes = [4, 6].map((family) => node.run(`ip -${family} -details route show table all`)).join('');
  const legacy = ['', '6'].map((family) =>
    lacks(`ip${family}tables-legacy`) === false
      ? node.run(`ip${family}tables-legacy-save -c`).replaceAll(/^#.*$|(?<=^:.*)\[.*\]$|^.*vipward.*\n/gm, '')
      : '',
  );
  return {
    nft: tables.map((table) => node.run(`nft -a list ${table}`)).join(''),
    legacy: legacy.join(''),
    addresses: others(node.run('ip -details -oneline address').replaceAll(/(?<=_lft )\d+sec/g, 'some')),
    routes: others(routes),
  };
}

function others(text: string): string {
  const vips = [web, dns, bystander].flatMap(({ addresses }) => addresses);
  const isOurs = (line: string): boolean => line.split(/[\s/]/).some((word) => vips.includes(word));
  return text
    .split('\n')
    .filter((line) => !isOurs(line))
    .join('\n');
}

/** Runs `vipward cleanup` on the node. */
function cleanup(node: Node, ...words: readonly string[]): ReturnType<typeof runIn> {
  const state = ['--state', join(node.folder, 'agent')];
  return runIn(node.node, [process.execPath, program, 'cleanup', ...state, ...words]);
}

/** The file of the agent's last state. */
function stateOf(node: Node): string {
  return join(node.folder, 'agent', 'agent.jsonl');
}

for (const owner of owners) {
  test(`the agent, its repairs and cleanup leave foreign objects unchanged (table owner ${owner})`, {
    skip: skip || hasTool('nft', '--version'),
  }, async () => {
    await using node = await Node.start({ services: [bystander], agentArgs: ['--table-owner', owner] });
    const mine = `${wordsOf(node)}`;
    addForeign(node);
    // iptables-legacy-restore removes from its table all rules that it is not given, and ours with them.
    await node.until('our rules are back', () => `${wordsOf(node)}` === mine);
    const before = surroundings(node);
    assert.match(before.nft, /vipward-of-another/);
    if (lacks('iptables-legacy') === false) assert.match(before.legacy, /\[5:500\] -A PREROUTING/);
    const unchanged = (): void => assert.deepEqual(surroundings(node), before);
    await node.setServices([web, dns, bystander]);
    unchanged();
    await node.setServices([{ ...web, ports: ['TCP 80', 'TCP 443'], sources: ['192.0.2.0/24'] }, bystander]);
    await node.setServices([web, dns]);
    unchanged();
    const absent = async (): Promise<boolean> => /10\.77\.0\.100\/32/.test(node.run('ip address'));
    node.run('ip address del 10.77.0.100/32 dev lan');
    await node.until('the address is back', absent);
    if (owner === 'off') {
      const differs = (): boolean => runIn(node.node, [process.execPath, program, 'diff']).status !== 0;
      await node.until('the flushed rules are back', () => !differs());
      const words = `${wordsOf(node)}`;
      node.run(harms[1] ?? '');
      await node.until('the rules are back', () => `${wordsOf(node)}` === words);
    }
    await node.until('the agent is well', async () => (await node.status()).inSync);
    unchanged();
    await node.killAgent('SIGKILL');
    node.startAgent();
    await node.settled([web, dns]);
    unchanged();
    const running = cleanup(node);
    assert.equal(running.status, 1);
    assert.match(running.stderr, new RegExp(`pid ${node.agentPid}`));
    await node.killAgent('SIGTERM');
    unchanged();
    const gone = cleanup(node);
    assert.equal(gone.status, 0, gone.stderr);
    const addresses = ['10.77.0.100', '10.77.0.101', 'fd77::100', 'fd77::101'];
    assert.deepEqual(
      gone.stdout.trim().split('\n').sort(),
      [...addresses.map((vip) => `address ${vip}`), ours, stateOf(node)]
        .map((what) => `removed ${what}`)
        .sort(),
    );
    unchanged();
    if (isXtables) assert.equal(rulesOf(node), '');
    assert.doesNotMatch(node.run('nft list tables'), /inet vipward$/m);
    assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.10\d|fd77::10\d/);
  });
}

test('cleanup removes addresses from the named interfaces and keeps the filter while a VIP is left', {
  skip: skip || hasTool('nft', '--version'),
}, async () => {
  await using node = await Node.start({
    services: [web],
    agentArgs: ['--allow', '10.77.0.0/24,fd77::/64,10.88.0.0/24'],
    controllerArgs: ['--pool', 'pods=10.88.0.100-10.88.0.199'],
  });
  const inner: Service = { name: 'inner', addresses: ['10.88.0.100'], ports: ['TCP 80'] };
  await node.setServices([web, inner]);
  await node.killAgent('SIGTERM');
  const wrong = cleanup(node, '--interface', 'lan,lann');
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /no lann here; name some of .*\blan\b/);
  assert.match(node.run('ip address show dev lan'), /10\.77\.0\.100\/32/);
  const some = cleanup(node, '--interface', 'lan');
  assert.equal(some.status, 0, some.stderr);
  assert.match(some.stdout, new RegExp(`^kept ${RegExp.escape(ours)}: there are VIPs on pods$`, 'm'));
  assert.doesNotMatch(node.run('ip address show dev lan'), /10\.77\.0\.100|fd77::100/);
  assert.match(node.run('ip address show dev pods'), /10\.88\.0\.100\/32/);
  assert.match(rulesOf(node), /10\.88\.0\.100/);
  const rest = cleanup(node, '--interface', 'pods');
  assert.equal(rest.status, 0, rest.stderr);
  assert.deepEqual(
    rest.stdout.trim().split('\n'),
    ['address 10.88.0.100', ours, stateOf(node)].map((what) => `removed ${what}`),
  );
  assert.equal(cleanup(node).stdout, 'found nothing of vipward\n');
});
