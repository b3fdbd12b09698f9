// Services under a real kube-proxy, in nftables and then in iptables mode: clients reach declared ports
// through its DNAT, and neither its rules nor their absence open any other port.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { skip as noNode } from '../kernel/node.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { echoes } from '../kernel/traffic.ts';
import { runIn, spawnIn } from '../namespaces.ts';
import { skip as noCluster, withoutProgram } from './control-plane.ts';
import { flushKubeProxy, type Mode, setEndpoints, startKubeProxy } from './kube-proxy.ts';
import { NodeInCluster } from './node-in-cluster.ts';
import { Program } from './processes.ts';

const skip = noCluster || noNode || withoutProgram('kube-proxy');
const skips: Readonly<Record<Mode, string | false>> = {
  nftables: skip || hasTool('nft', '--version'),
  iptables: skip || hasTool('iptables', '-V') || hasTool('ip6tables', '-V'),
};

const vips = ['10.77.0.100', 'fd77::100'];
const own = ['10.77.0.1', 'fd77::1'];
const both = { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] };

let all: NodeInCluster;
/** A Pod of its own: in this process it would take 500 connections a second beside everything else. */
let pod: Program | undefined;
before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start();
  const { node } = all;
  const echo = fileURLToPath(new URL('echo-server.ts', import.meta.url));
  const started = new Program(
    node.backend,
    [process.execPath, echo, '8080'],
    `${all.cluster.folder}/pod.log`,
  );
  pod = started;
  await all.until('the Pod listens', async () => started.words.includes('listening'));
  await node.listen(node.backend, 'udp', 5353);
  await node.listen(node.node, 'tcp', 9999);
});
after(async () => {
  if (skip !== false) return;
  await pod?.end('SIGKILL');
  await all[Symbol.asyncDispose]();
});

interface Port {
  readonly port: number;
  readonly nodePort: number;
}

async function nodePorts(name: string): Promise<readonly Port[]> {
  const { spec } = await all.cluster.do('GET', `/api/v1/namespaces/default/services/${name}`);
  return spec.ports;
}

/** Waits until a connection to it is answered by the backend. */
async function reached(host: string, port: number, proxy: Program): Promise<void> {
  const isReached = async () => echoes(await all.node.connect(host, port), 'through kube-proxy');
  try {
    await all.node.until(`${host} port ${port} reached`, isReached);
  } catch (error) {
    const { items } = await all.cluster.do('GET', '/api/v1/namespaces/default/services');
    const { stdout } = runIn(all.node.node, ['nft', 'list', 'ruleset']);
    throw new Error(`${proxy.words}\n${JSON.stringify(items, null, 1)}\n${stdout}`, { cause: error });
  }
}

for (const mode of ['nftables', 'iptables'] as const) {
  test(`with kube-proxy in ${mode} mode declared ports reach the Pod, and all others are closed`, {
    skip: skips[mode],
  }, async () => {
    const { node } = all;
    await all.apply('web', { ports: ['TCP 80', 'UDP 53'], spec: both });
    await setEndpoints(all, 'web', [
      { name: 'tcp-80', protocol: 'TCP', port: 8080 },
      { name: 'udp-53', protocol: 'UDP', port: 5353 },
    ]);
    await all.serves(...vips.map((vip) => `${vip}: TCP 80, UDP 53`));
    await using proxy = await startKubeProxy(all, mode);
    const ports = await nodePorts('web');
    for (const [index, vip] of vips.entries()) {
      await reached(vip, 80, proxy);
      assert.equal(await node.probe('udp', vip, 53), 'open', `${vip} UDP 53`);
      assert.equal(await node.probe('tcp', own[index] ?? '', 9999), 'open');
      assert.equal(await node.probe('tcp', vip, 9999), 'closed');
      // The health of kube-proxy itself, which listens on every address.
      assert.equal(await node.probe('tcp', own[index] ?? '', 10256), 'open');
      assert.equal(await node.probe('tcp', vip, 10256), 'closed');
      for (const { port, nodePort } of ports) {
        const protocol = port === 53 ? 'udp' : 'tcp';
        assert.equal(await node.probe(protocol, own[index] ?? '', nodePort), 'open', `${nodePort}`);
        assert.equal(await node.probe(protocol, vip, nodePort), 'closed', `${vip} ${nodePort}`);
      }
    }
    await proxy.end('SIGKILL');
    flushKubeProxy(all, mode);
    for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'closed', `${vip} without rules`);
    await all.remove('web');
    await all.serves();
  });
}

test('kube-proxy forwards a port of two Services to the first, and to the other once the first is gone', {
  skip: skips.nftables,
}, async () => {
  const annotations = { 'vipward.io/addresses': '10.77.0.150' };
  const ingressOf = async (name: string): Promise<string> => {
    const { status } = await all.cluster.do('GET', `/api/v1/namespaces/default/services/${name}`);
    return JSON.stringify(status.loadBalancer.ingress ?? []);
  };
  // If the status of both had the address, kube-proxy would take the last by name.
  for (const [name, port] of [['first', 8080] as const, ['other', 8081] as const]) {
    await all.apply(name, { annotations });
    await setEndpoints(all, name, [{ name: 'tcp-80', protocol: 'TCP', port }]);
    await all.until(`${name} is on the VIP`, async () => {
      const { vips } = await all.node.controllerStatus();
      return vips[0]?.services.some(({ key }) => key === `default/${name}`) === true;
    });
  }
  await all.until('the status of the first has the address', async () =>
    (await ingressOf('first')).includes('10.77.0.150'),
  );
  await using proxy = await startKubeProxy(all, 'nftables');
  await reached('10.77.0.150', 80, proxy);
  assert.equal(await ingressOf('other'), '[]');
  // From now on a client reaches the Pod only through the other Service.
  await setEndpoints(all, 'first', [{ name: 'tcp-80', protocol: 'TCP', port: 8081 }]);
  await all.until('the first leads nowhere', async () => {
    return (await all.node.probe('tcp', '10.77.0.150', 80)) === 'refused';
  });
  await all.remove('first');
  await setEndpoints(all, 'other', [{ name: 'tcp-80', protocol: 'TCP', port: 8080 }]);
  await all.until('the status of the other has the address', async () =>
    (await ingressOf('other')).includes('10.77.0.150'),
  );
  await reached('10.77.0.150', 80, proxy);
  assert.match(await ingressOf('other'), /10\.77\.0\.150/);
  await proxy.end('SIGKILL');
  flushKubeProxy(all, 'nftables');
  await all.remove('other');
  await all.serves();
});

/** The node's own listener on 22, and the addresses at which it was reached. */
async function sshd(): Promise<{ readonly server: Server; readonly came: string[] }> {
  const came: string[] = [];
  const server = createServer((socket) => {
    came.push(socket.localAddress ?? '');
    socket.on('error', () => undefined);
    socket.end();
  });
  await all.node.node.stay(async () => {
    server.listen(22, '::');
    await once(server, 'listening');
  });
  return { server, came };
}

interface Knocks {
  readonly tried: number;
  readonly opened: number;
  readonly refused: number;
  readonly dropped: number;
  readonly lastedMs: number;
}

/** Connections from the client at 500 a second, while something goes on. */
async function whileKnocking(places: readonly string[], during: () => Promise<void>): Promise<Knocks> {
  const program = fileURLToPath(new URL('knock.ts', import.meta.url));
  const argv = [process.execPath, program, '500', ...places] as const;
  const child = spawnIn(all.node.client, [argv[0], ...argv.slice(1)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = text(child.stdout as NodeJS.ReadableStream);
  try {
    await during();
  } finally {
    child.stdin?.end();
  }
  return JSON.parse(await said) as Knocks;
}

for (const mode of ['nftables', 'iptables'] as const) {
  test(`with kube-proxy in ${mode} mode port 22 of a VIP never reaches the node's own listener`, {
    skip: skips[mode],
  }, async (t) => {
    const { node } = all;
    const { server, came } = await sshd();
    t.after(() => server.close());
    const make = async (...more: string[]): Promise<void> => {
      await all.apply('ssh', { ports: ['TCP 22', ...more], spec: both });
      await setEndpoints(all, 'ssh', [{ name: 'tcp-22', protocol: 'TCP', port: 8080 }]);
      await all.serves(...vips.map((vip) => [`${vip}: TCP 22`, ...more].join(', ')));
    };
    const start = async (): Promise<Program> => {
      const proxy = await startKubeProxy(all, mode);
      t.after(() => proxy.end('SIGKILL'));
      return proxy;
    };
    const knocks = await whileKnocking([`${vips[0]}:22`, `[${vips[1]}]:22`], async () => {
      await make();
      const proxy = await start();
      for (const vip of vips) await reached(vip, 22, proxy);
      await make('TCP 2222');
      await proxy.end('SIGKILL');
      flushKubeProxy(all, mode);
      await sleep(300);
      await node.killController('SIGKILL');
      await node.killAgent('SIGKILL');
      await sleep(300);
      node.startAgent();
      await all.serves(...vips.map((vip) => `${vip}: TCP 22, TCP 2222`));
      node.startController();
      await all.until('the controller rules', async () => (await node.controllerStatus()).vips.length === 2);
      const successor = await start();
      for (const vip of vips) await reached(vip, 22, successor);
      await all.remove('ssh');
      await all.serves();
      await sleep(300);
      await successor.end('SIGKILL');
    });
    flushKubeProxy(all, mode);
    t.diagnostic(`${mode}: ${JSON.stringify(knocks)}`);
    assert.ok(knocks.opened > 0, 'some connections went through kube-proxy to the Pod');
    assert.ok(knocks.dropped > 0, 'some connections were dropped while kube-proxy had no rule');
    assert.deepEqual(came, []);
    for (const address of own) assert.equal(await node.probe('tcp', address, 22), 'open');
    await all.until('the listener was reached at both addresses', async () => came.length === 2);
  });
}
