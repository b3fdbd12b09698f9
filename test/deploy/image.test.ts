// The image, and the agent in it as a Pod: exactly the arguments, environment, mounts and capabilities of the
// template in deploy/, and nothing that a root of this machine would have beside them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { prober } from '../agent/life.ts';
import { Node, skip as noNode } from '../kernel/node.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { echoes } from '../kernel/traffic.ts';
import type { Program } from '../kubernetes/processes.ts';
import { until } from '../patience.ts';
import { containerFlags, containerOf, noPodman, type PodInput, Podman, writeVolumes } from './pod.ts';

const skip = noNode || noPodman || hasTool('openssl', 'version');

const vip = '10.77.0.100';
const serviceName = 'vipward-controller.vipward-system.svc';
const image = 'localhost/vipward:test';
const folder = mkdtempSync(join(tmpdir(), 'vipward-image-'));
const pauseMs = 20_000;

let podman: Podman;
let node: Node;
let pod: PodInput;
before(async () => {
  if (skip !== false) return;
  podman = new Podman(folder);
  podman.makeImage(image);
  const certificate = makeCertificate();
  writeFileSync(join(folder, 'tokens'), 'node1 token-of-the-node\n');
  const services = ['TCP 80', 'UDP 53'];
  node = await Node.start({
    services: [{ name: 'web', addresses: [vip], ports: services, annotations: { delivery: 'host' } }],
    source: (made) => [
      ...['--services', join(made.folder, 'services'), '--state', join(made.folder, 'controller')],
      ...['--tls-cert', join(folder, 'tls.crt'), '--tls-key', join(folder, 'tls.key')],
      ...['--token-file', join(folder, 'tokens')],
    ],
  });
  await node.killAgent('SIGKILL');
  pod = {
    image,
    fields: { 'spec.nodeName': 'node1', 'status.hostIP': '10.77.0.1' },
    volumes: writeVolumes(join(folder, 'volumes'), { ca: certificate, token: 'token-of-the-node' }),
    hosts: { [serviceName]: '127.0.0.1' },
  };
  await node.listen(node.node, 'tcp', 80);
  await node.listen(node.node, 'udp', 53);
});
after(async () => {
  if (skip === false) {
    podman[Symbol.dispose]();
    await node.stop();
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A certificate for the name of the Service, as docs/kubernetes.md makes it. */
function makeCertificate(): string {
  const { status, stderr } = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', join(folder, 'tls.key'), '-out', join(folder, 'tls.crt'), '-subj', '/CN=vipward'],
      ...['-addext', `subjectAltName=DNS:${serviceName}`],
    ],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return readFileSync(join(folder, 'tls.crt'), 'utf8');
}

let pods = 0;

/** Starts the agent as a new Pod, perhaps without a capability. */
function startPod(without?: string): Program {
  const container = containerOf('agent');
  const { capabilities } = container.securityContext;
  const add = (capabilities.add ?? []).filter((name) => name !== without);
  const securityContext = { ...container.securityContext, capabilities: { ...capabilities, add } };
  const flags = containerFlags({ ...container, securityContext }, pod);
  return podman.start(node.node, flags, `agent-${++pods}`);
}

/** Waits until the agent serves the VIP by the word of its controller. */
async function serves(agent: Program): Promise<void> {
  await until(
    'the Pod serves',
    async () => {
      const { inSync, vips } = await node.status();
      return inSync && vips.length === 1 && vips[0]?.state === 'serving' && vips[0].held;
    },
    () => agent.words,
  );
}

test('the image runs version, the help of the controller, and the manifests of the agent', {
  skip,
}, async (t) => {
  assert.match(podman.say(image, 'version'), /^\d+\.\d+\.\d+\n$/);
  assert.match(podman.say(image, 'controller', '--help'), /--kubernetes/);
  // As `kubectl exec` starts it.
  assert.match(podman.say('--entrypoint=vipward', image, 'version'), /^\d+\.\d+\.\d+\n$/);
  assert.match(podman.say(image, 'manifests', 'agent'), /kind: DaemonSet/);
  const [{ Size: bytes }] = JSON.parse(podman.do(['image', 'inspect', image]));
  t.diagnostic(`${Math.round(bytes / 1e6)} MB`);
});

const built = spawnSync(fileURLToPath(new URL('build-image.sh', import.meta.url)), ['-n'], {
  encoding: 'utf8',
});
const noArchive = built.status === 0 ? skip : built.stderr.trim();

test('buildah makes an image with the same files from the Dockerfile', { skip: noArchive }, () => {
  podman.do(['load', '--quiet', '--input', built.stdout.trim()]);
  assert.match(podman.say('localhost/vipward:built', 'version'), /^\d+\.\d+\.\d+\n$/);
  const filesOf = (name: string): readonly string[] => {
    const container = podman.do(['create', ...['--cgroups', 'disabled'], name]).trim();
    const archive = join(folder, 'files.tar');
    podman.do(['export', '--output', archive, container]);
    podman.do(['rm', container]);
    const { stdout } = spawnSync('tar', ['-tf', archive], { encoding: 'utf8' });
    return stdout
      .split('\n')
      .filter((path) => /^(app|usr\/bin)\//.test(path) && !path.endsWith('/'))
      .sort();
  };
  const files = filesOf('localhost/vipward:built');
  for (const path of ['usr/bin/node', 'app/dist/cli/main.js', 'app/licenses/ws/LICENSE'])
    assert.ok(files.includes(path), path);
  assert.deepEqual(files, filesOf(image));
});

for (const name of ['NET_ADMIN', 'NET_RAW']) {
  test(`an agent without CAP_${name} names the missing capability`, { skip }, async () => {
    await using agent = startPod(name);
    const isNamed = () => agent.words.includes(`CAP_${name}`);
    await until('the missing capability is named', isNamed, () => agent.words);
    await agent.end('SIGTERM');
  });
}

test('a Pod that starts 20 s after another has ended loses no datagram and changes no ARP entry', {
  skip,
}, async (t) => {
  const first = startPod();
  await serves(first);
  const connection = await node.connect(vip, 80);
  assert.ok(await echoes(connection, 'before'));
  const neighbour = (): string =>
    node.run(`ip neigh show ${vip}`, { where: node.client }).replace(/ [A-Z]+\s*$/, '');
  const before = neighbour();
  assert.match(before, /lladdr/);
  const sending = await prober(node, vip, 53);
  await first.end('SIGTERM');
  await sleep(pauseMs);
  assert.ok(await echoes(connection, 'meanwhile'));
  // The first controller of a cluster makes this file; until then an agent serves from its journal.
  const authority = join(pod.volumes['ca'] ?? '', 'ca.crt');
  const certificate = readFileSync(authority);
  rmSync(authority);
  await using second = startPod();
  const reasons = async () => (await node.status()).controllers.map(({ reason }) => reason);
  const says = () => second.words;
  await until(
    'status names the missing file',
    async () => /ENOENT.*--ca-file/.test(String(await reasons())),
    says,
  );
  assert.ok(await echoes(connection, 'from disk'));
  writeFileSync(authority, certificate);
  await serves(second);
  await sleep(1000);
  assert.equal(await sending.lost(), 0);
  assert.ok(await echoes(connection, 'after'));
  assert.equal(neighbour(), before);
  t.diagnostic(`${sending.sent} datagrams, 0 lost`);
  await second.end('SIGTERM');
});

test('the Pod of examples/cleanup.yaml removes the VIP and all rules from the kernel', { skip }, async () => {
  const example = readFileSync(new URL('../../examples/cleanup.yaml', import.meta.url), 'utf8');
  const { securityContext, initContainers } = parse(example).spec.template.spec;
  const [container] = initContainers;
  const rights = { ...securityContext, ...container.securityContext };
  const flags = containerFlags({ env: [], ...container, securityContext: rights }, pod);
  assert.match(node.run('ip -4 address show', { where: node.node }), new RegExp(vip));
  await using cleanup = podman.start(node.node, flags, 'cleanup');
  await until(
    'it ends',
    () => !cleanup.isRunning,
    () => cleanup.words,
  );
  assert.doesNotMatch(node.run('ip -4 address show', { where: node.node }), new RegExp(vip));
  assert.equal(node.run('nft list ruleset', { where: node.node }), '');
});
