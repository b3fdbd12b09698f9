// The firewall this agent writes: which dialect, with what the kernel can do, and how to read its counters.

import type { Dialect, Sampler } from '../dialects/dialect.ts';
import { NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST } from '../dialects/nftables/constants.ts';
import { counterQuestion, readCounters } from '../dialects/nftables/counters.ts';
import { tableOwner } from '../dialects/nftables/decode.ts';
import { describe } from '../dialects/nftables/describe.ts';
import { nftables } from '../dialects/nftables/dialect.ts';
import type { NftObject } from '../dialects/nftables/objects.ts';
import { probeStep, readCapabilities } from '../dialects/nftables/probe.ts';
import { sampler } from '../dialects/nftables/samples.ts';
import type { Kernel } from '../host/kernel.ts';
import { describeErrno } from '../netlink/ack.ts';
import { type Address, addressBytes, familyOf } from '../state/address.ts';
import { protocolNumbers } from '../state/port.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';

export interface FirewallOptions {
  readonly observe: boolean;
  readonly counters: boolean;
  readonly echo: boolean;
  /** Take the table for ourselves, so that nobody else can change it, where the kernel lets us. */
  readonly owner: boolean;
}

export interface Firewall {
  readonly dialect: Dialect<NftObject>;
  /** Nobody else can change the table while this process lives, so nobody needs to be listened to. */
  readonly owned: boolean;
  readonly countsPorts: boolean;
  readonly sampler: Sampler;
  describe(object: NftObject): string;
}

/** No firewall of this kernel can be used; the message says what is missing. */
export class NoFirewallError extends Error {
  readonly code = 'NoFirewall';
}

/** Another process owns our table: its netlink port id, which usually is its process id. */
export class TableOwnedError extends Error {
  readonly code = 'TableOwned';
  readonly portId: number;

  constructor(portId: number) {
    super(`table inet vipward belongs to another process (netlink port ${portId})`);
    this.portId = portId;
  }
}

/** Asks the kernel what it can do. Throws NoFirewallError, TableOwnedError, SystemCallError. */
export async function openFirewall(kernel: Kernel, options: FirewallOptions): Promise<Firewall> {
  const [tables] = nftables({ ...options, tableFlags: 0, setExpressionFlag: true }).dumps;
  // Reading who owns the table takes no lock; trying to take it from an owner would disturb every other
  // writer.
  const owner = tables === undefined ? undefined : tableOwner(await kernel.ask(tables));
  if (owner !== undefined && owner !== 0 && owner !== kernel.portId('nfnetlink'))
    throw new TableOwnedError(owner);
  const step = probeStep();
  const probed = readCapabilities(await kernel.commit({ door: 'nfnetlink', steps: [step] }));
  if (probed.refusal === 1) throw new NoFirewallError('nf_tables: EPERM; the agent needs CAP_NET_ADMIN');
  if (probed.refusal !== 0) {
    throw new NoFirewallError(
      `nf_tables: ${describeErrno(probed.refusal)}; this kernel needs CONFIG_NF_TABLES_INET`,
    );
  }
  const owned = options.owner && probed.ownerAndPersist;
  const dialect = nftables({
    ...options,
    tableFlags: owned ? NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST : 0,
    setExpressionFlag: probed.setExpressionFlag,
  });
  return { dialect, owned, countsPorts: options.counters, sampler, describe };
}

/** Packets dropped at a VIP, and packets by port; null where the kernel does not count or did not answer. */
export interface VipCounters {
  readonly dropped: number | null;
  readonly ports: readonly (number | null)[];
}

/** How many keys go in one question: their answers must fit the socket's buffer. */
const questionKeys = 256;

/** Reads the counters of some VIPs, key by key, which costs nothing that grows with the table. */
export async function readVipCounters(
  kernel: Kernel,
  firewall: Firewall,
  vips: readonly VirtualIp[],
): Promise<Map<Address, VipCounters>> {
  const counters = new Map<Address, VipCounters>();
  for (const family of [4, 6] as const) {
    const ours = vips.filter((vip) => vip.filtered && familyOf(vip.address) === family);
    const keys = ours.map((vip) => addressBytes(vip.address));
    const dropped = await readKeys(kernel, `drop${family}`, keys);
    const portKeys = firewall.countsPorts
      ? ours.flatMap((vip) => vip.ports.map((port) => portKey(vip, port)))
      : [];
    const accepted = await readKeys(kernel, `allow${family}`, portKeys);
    let place = 0;
    for (const [index, vip] of ours.entries()) {
      const ports = vip.ports.map(() => (firewall.countsPorts ? (accepted[place++] ?? null) : null));
      counters.set(vip.address, { dropped: dropped[index] ?? null, ports });
    }
  }
  return counters;
}

async function readKeys(
  kernel: Kernel,
  set: string,
  keys: readonly Uint8Array[],
): Promise<(number | null)[]> {
  const packets: (number | null)[] = [];
  for (let start = 0; start < keys.length; start += questionKeys) {
    const part = keys.slice(start, start + questionKeys);
    const found = readCounters(await kernel.ask(counterQuestion(set, part)));
    for (const index of part.keys()) packets.push(found.get(index) ?? null);
  }
  return packets;
}

function portKey(vip: VirtualIp, { protocol, port }: VirtualIp['ports'][number]): Uint8Array {
  return Uint8Array.of(
    ...addressBytes(vip.address),
    protocolNumbers[protocol],
    0,
    0,
    0,
    port >> 8,
    port & 0xff,
    0,
    0,
  );
}
