// The firewall that the agent chooses on this kernel guards: only declared ports of a VIP answer. On a kernel
// that lacks what VIPWARD_EXPECT_MISSING names, it names that and chooses nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NoFirewallError } from '../../src/agent/firewall/firewall.ts';
import { openFirewall } from '../../src/agent/firewall/open-firewall.ts';
import { needsOf, nothing, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, Namespace, runIn } from '../namespaces.ts';
import { until, untilTrue } from '../patience.ts';
import { hasTool, ownKernel, port, vip } from './own-kernel.ts';
import { listenIn, probe } from './traffic.ts';

const skip = cannotUnshare() || hasTool('ip', '-V');
const missing = process.env['VIPWARD_EXPECT_MISSING'];
const options = { observe: false, counters: false, echo: true, owner: false };
const addresses = ['10.50.0.1', 'fd00::1'];
const guarded = addresses.map((address) => vip(address, [port(80, { delivery: 'host' })]));

for (const wish of missing === undefined ? (['auto', 'xtables'] as const) : []) {
  test(`with --firewall ${wish} a declared port answers and no other`, { skip }, async () => {
    using own = ownKernel();
    using client = await clientOf(own.namespace);
    const closers = [];
    for (const number of [80, 81]) closers.push(await listenIn(own.namespace, 'tcp', number, '::'));
    const { dialect, counters } = await openFirewall(own.kernel, { ...options, wish });
    const want = dialect.render(stateOf(guarded, needsOf(guarded)));
    const delta = { remove: [...nothing.constants], add: [...want.constants, ...want.elements] };
    assert.deepEqual(await own.kernel.commit(dialect.encode(delta)), []);
    for (const host of addresses) {
      assert.equal(await probe(client, 'tcp', { host, port: 80 }), 'open', host);
      assert.equal(await probe(client, 'tcp', { host, port: 81 }), 'closed', host);
      assert.equal(await probe(client, 'udp', { host, port: 80 }), 'closed', host);
    }
    await until('both are counted', async () => {
      const dropped = [...(await counters(own.kernel, guarded)).values()].map((one) => one.dropped ?? 0);
      assert.ok(
        dropped.every((packets) => packets >= 2),
        `${dropped}`,
      );
      return true;
    });
    process.stdout.write(`${wish}: ${dialect.name}\n`);
    for (const close of closers) close();
  });
}

if (missing !== undefined) {
  test('openFirewall names what the kernel lacks', { skip }, async () => {
    using own = ownKernel();
    await assert.rejects(openFirewall(own.kernel, { ...options, wish: 'auto' }), (error) => {
      assert.ok(error instanceof NoFirewallError);
      process.stdout.write(`${error.message}\n`);
      assert.match(error.message, new RegExp(missing));
      return true;
    });
  });
}

/** A namespace with a cable to the node, which has the VIPs as addresses. */
async function clientOf(node: Namespace): Promise<Namespace> {
  const client = Namespace.make();
  const ip = (where: Namespace, words: string): string => {
    const { status, stdout, stderr } = runIn(where, ['ip', ...words.split(' ')]);
    assert.equal(status, 0, `${words}: ${stderr}`);
    return stdout;
  };
  ip(node, `link add node0 type veth peer name client0 netns /proc/${process.pid}/fd/${client.fd}`);
  for (const [where, link, last] of [
    [node, 'node0', 1],
    [client, 'client0', 9],
  ] as const) {
    ip(where, `address add 10.50.0.${last}/24 dev ${link}`);
    ip(where, `address add fd00::${last}/64 dev ${link} nodad`);
    ip(where, `link set ${link} up`);
  }
  // Before that the node sends nothing.
  await untilTrue(() => ip(node, 'link show node0').includes('state UP'));
  return client;
}
