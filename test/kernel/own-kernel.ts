// A real kernel of its own for each test: a network namespace with our netlink sockets in it, and nft as the
// oracle.
import assert from 'node:assert/strict';
import type { KernelObjects } from '../../src/dialects/dialect.ts';
import { describe } from '../../src/dialects/nftables/describe.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import type { NftObject } from '../../src/dialects/nftables/objects.ts';
import { type Capabilities, probeStep, readCapabilities } from '../../src/dialects/nftables/probe.ts';
import type { NftOptions } from '../../src/dialects/nftables/ruleset.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { loadNative, type Native, type Outcome } from '../../src/host/native.ts';
import { parseAddress, parsePrefix } from '../../src/state/address.ts';
import { parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { VipPort, VirtualIp } from '../../src/state/virtual-ip.ts';
import { deltaOf } from '../dialects/arbitraries.ts';
import { Namespace, runIn } from '../namespaces.ts';

const waiting = new Map<number, (outcome: Outcome) => void>();
let lastToken = 0;

/** What this kernel can do, asked as the agent asks it: 5.10 wants the counter of a set without its flag. */
export const capabilities: Capabilities = await probed();

export const plain: NftOptions = {
  tableFlags: 0,
  counters: false,
  echo: true,
  observe: false,
  setExpressionFlag: capabilities.setExpressionFlag,
  localAddresses: capabilities.localAddresses,
};

export interface OwnKernel extends Disposable {
  readonly namespace: Namespace;
  readonly kernel: Kernel;
}

/** Its sockets are made in the namespace at once. */
export function ownKernel(): OwnKernel {
  const namespace = Namespace.make();
  const kernel = new Kernel(sharedNative());
  namespace.run(() => [kernel.portId('nfnetlink'), kernel.portId('rtnetlink'), kernel.tables.open()]);
  return {
    namespace,
    kernel,
    [Symbol.dispose]() {
      kernel[Symbol.dispose]();
      namespace[Symbol.dispose]();
    },
  };
}

async function probed(): Promise<Capabilities> {
  using kernel = new Kernel(sharedNative());
  return readCapabilities(await kernel.commit({ door: 'nfnetlink', steps: [probeStep()] }));
}

/**
 * The addon has one callback for late results, and each Kernel counts its tokens from 1: of several in a
 * process, one would get the results of another. Here tokens are unique.
 */
function sharedNative(): Native {
  const native = loadNative();
  native.onResult((token, outcome) => {
    waiting.get(token)?.(outcome);
    waiting.delete(token);
  });
  let onResult: (token: number, outcome: Outcome) => void = () => {};
  return {
    ...native,
    onResult(callback) {
      onResult = callback;
      return 0;
    },
    submit(operation, fd, bytes, ...[split, token, waitMicros]) {
      const own = ++lastToken;
      const outcome = native.submit(operation, fd, bytes, split, own, waitMicros);
      if (outcome === undefined) waiting.set(own, (late) => onResult(token, late));
      return outcome;
    },
  };
}

/** Commits what turns `have` into `want`, of which nothing may be refused. */
export async function commit(
  { kernel }: OwnKernel,
  options: NftOptions,
  have: KernelObjects<NftObject>,
  want: KernelObjects<NftObject>,
): Promise<void> {
  assert.deepEqual(await kernel.commit(nftables(options).encode(deltaOf(have, want))), []);
}

export async function found({ kernel }: OwnKernel, options: NftOptions): Promise<KernelObjects<NftObject>> {
  const dialect = nftables(options);
  return dialect.decode(await kernel.dump(dialect.dumps));
}

/** What differs, in words short enough for a failed assertion. */
export function difference(have: KernelObjects<NftObject>, want: KernelObjects<NftObject>): string[] {
  const { remove, add } = deltaOf(have, want);
  return [
    ...remove.map((object) => `- ${describe(object)}`),
    ...add.map((object) => `+ ${describe(object)}`),
  ];
}

/** Runs nft in the namespace; its words are the failure, unless one is expected. */
export function nft({ namespace }: OwnKernel, words: readonly string[], input = ''): string {
  const { status, stdout, stderr } = runIn(namespace, ['nft', ...words], input);
  assert.equal(status, 0, stderr);
  return stdout;
}

export function hasTool(...argv: [string, ...string[]]): string | false {
  using here = Namespace.current();
  return runIn(here, argv).status === 0 ? false : `${argv[0]} is not installed`;
}

export function vip(address: string, ports: readonly VipPort[], more: Partial<VirtualIp> = {}): VirtualIp {
  return { address: parseAddress(address), filtered: true, egress: false, ports, ...more };
}

export function port(number: number, more: Partial<VipPort> = {}): VipPort {
  const service = parseServiceKey('default/web');
  return { protocol: 'TCP', port: parsePort(number), service, delivery: 'forward', sources: null, ...more };
}

export function sources(...texts: readonly string[]): Pick<VipPort, 'sources'> {
  return { sources: texts.map(parsePrefix) };
}

/** Every feature, and one element a set, since nft lists a set in the order of its hashes. */
export const everyFeature: readonly VirtualIp[] = [
  vip(
    '10.50.0.1',
    [
      port(443),
      port(53, { protocol: 'UDP', delivery: 'host', ...sources('192.0.2.9/24', '198.51.100.7/32') }),
    ],
    { egress: true },
  ),
  vip('fd00::1', [port(443, { delivery: 'host', ...sources('fd01::/64') })]),
];
