// After a switch of firewalls something pins what the old one left: the new one serves all the same, and
// removes it when it can.
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { holdLock } from './hold-lock.ts';
import { Node, type Service } from './node.ts';
import { skip } from './own-xtables.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };

/** A lock of this file alone, because it is held for long. */
const lockFile = '/run/retirement.lock';
process.env['XTABLES_LOCKFILE'] = lockFile;

const rule = 'FORWARD -m set --match-set vipward-vip4 dst -j ACCEPT';

/** Each begins to pin something, and returns a function that ends it. */
const keepers: Readonly<Record<string, (node: Node) => Promise<() => Promise<void>>>> = {
  'a foreign rule with our set': async (node) => {
    node.run(`iptables-legacy -w -A ${rule}`);
    return async () => {
      node.run(`iptables-legacy -w -D ${rule}`);
    };
  },
  'the lock of legacy tables': async (node) => {
    const lock = await holdLock(node, lockFile);
    return async () => await lock[Symbol.asyncDispose]();
  },
};

for (const [what, begin] of Object.entries(keepers)) {
  test(`the new firewall serves all VIPs while ${what} pins the old one, and then removes that`, {
    skip,
  }, async () => {
    await using node = await Node.start({ services: [web], agentArgs: ['--firewall', 'xtables'] });
    const end = await begin(node);
    await node.killAgent('SIGTERM');
    node.startAgent(['--firewall', 'nftables']);
    await node.listen(node.node, 'tcp', 81);
    await node.until('the agent has started', async () => (await node.status()).firewall === 'nftables');
    const more: Service = { name: 'more', addresses: ['10.77.0.101'], ports: ['TCP 81'] };
    await node.setServices([web, more]);
    equal(await node.probe('tcp', '10.77.0.101', 81), 'open');
    await node.until('the problem is reported', async () => (await node.status()).problems.length > 0);
    const { problems, inSync } = await node.status();
    match(
      problems.join(),
      /^cannot remove the .*: chains and sets vipward-\*: (IPSET_ERR_BUSY|EAGAIN: cannot take the lock)/,
    );
    equal(inSync, true);
    match(node.run('ipset list -n'), /vipward-vip4/);
    await end();
    await node.until('nothing is left', () => node.run('ipset list -n') === '');
    await node.until('no problem is reported', async () => (await node.status()).problems.length === 0);
    const left = node.run('iptables-legacy-save') + node.run('ip6tables-legacy-save');
    deepEqual(left.match(/vipward/g), null);
  });
}
