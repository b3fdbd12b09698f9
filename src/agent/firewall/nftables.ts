// nftables as this agent's firewall: probes the kernel, finds the table's owner, reads the counters.

import { unasked } from '../../dialects/choose.ts';
import type { KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import { NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST } from '../../dialects/nftables/constants.ts';
import { counterQuestion, readCounters } from '../../dialects/nftables/counters.ts';
import { decode, tableOwner } from '../../dialects/nftables/decode.ts';
import { describe } from '../../dialects/nftables/describe.ts';
import { nftables } from '../../dialects/nftables/dialect.ts';
import { tableDump } from '../../dialects/nftables/dumps.ts';
import { encoder, isStandIn } from '../../dialects/nftables/encode.ts';
import {
  type ElementObject,
  inSetsOf,
  type NftObject,
  setOf,
  type TableObject,
} from '../../dialects/nftables/objects.ts';
import {
  type Capabilities,
  disturbanceOf,
  probeStep,
  readCapabilities,
} from '../../dialects/nftables/probe.ts';
import { sampler } from '../../dialects/nftables/samples.ts';
import { tracer } from '../../dialects/nftables/trace.ts';
import type { Kernel } from '../../host/kernel.ts';
import { SystemCallError } from '../../host/socket.ts';
import { Errno } from '../../netlink/message.ts';
import { type Address, addressBytes, familyOf } from '../../state/address.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';
import {
  type Firewall,
  type FirewallOptions,
  type Remains,
  TableOwnedError,
  type VipCounters,
  withAllOptions,
} from './firewall.ts';

/** Throws TableOwnedError, SystemCallError. */
export async function probeNftables(kernel: Kernel): Promise<Capabilities> {
  const unreachable = refusalOfSocket(kernel);
  if (unreachable !== 0)
    return { refusal: unreachable, ownerAndPersist: false, setExpressionFlag: false, localAddresses: false };
  // Reading the owner takes no lock. Trying to take the table from an owner would disturb every other writer.
  const owner = tableOwner(await kernel.ask(tableDump()));
  if (owner !== undefined && owner !== 0 && owner !== kernel.portId('nfnetlink'))
    throw new TableOwnedError(owner);
  const receipt = await kernel.commit({ door: 'nfnetlink', steps: [probeStep()] });
  const disturbed = disturbanceOf(receipt);
  if (disturbed !== undefined) throw new SystemCallError('probe of nf_tables', disturbed.errno);
  return readCapabilities(receipt);
}

/** EPROTONOSUPPORT where the kernel has no nfnetlink and loads no module by itself; 0 if it has a socket. */
function refusalOfSocket(kernel: Kernel): number {
  try {
    kernel.portId('nfnetlink');
    return 0;
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === Errno.EPROTONOSUPPORT) return error.errno;
    throw error;
  }
}

export function nftablesFirewall(probed: Capabilities | undefined, options: FirewallOptions): Firewall {
  const owned = options.owner && probed?.ownerAndPersist === true;
  const ofKernel = {
    tableFlags: owned ? NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST : 0,
    setExpressionFlag: probed?.setExpressionFlag === true,
    localAddresses: probed?.localAddresses === true,
  };
  const dialect = nftables({ ...options, ...ofKernel });
  return {
    siblings: () => withAllOptions((told) => nftables({ ...told, ...ofKernel })),
    dialect,
    owned,
    atomic: true,
    sampler,
    tracer,
    shortfalls: shortfallsOf(probed),
    glance: null,
    describe: (object) => describe(object as NftObject),
    setOf: (object) => setOf(object as NftObject),
    inSetsOf: (constants, elements) =>
      inSetsOf(constants as readonly NftObject[], elements as readonly ElementObject[]),
    counters: (kernel, vips) => vipCounters(kernel, vips, options.counters),
    guardsAnyway: (object, isWanted) => guardsAnyway(object as NftObject, isWanted),
    guardedInPart: (found) => guardedInPart(found as KernelObjects<NftObject>),
    replaces: ({ remove, add }) => tableIn(remove)?.id !== tableIn(add)?.id && isOfOurMake(tableIn(remove)),
  };
}

function shortfallsOf(probed: Capabilities | undefined): string[] {
  if (probed?.localAddresses !== false) return [];
  const lack = 'expression fib: needs CONFIG_NFT_FIB_INET with ..._IPV4 and ..._IPV6 (modprobe nft_fib_inet)';
  return [`${lack}: ${unasked}`];
}

/**
 * A table with the same id differs only in its owner. An unwanted constant opens nothing unless a rule leads
 * to it, and that rule differs itself.
 */
function guardsAnyway({ kind }: NftObject, isWanted: boolean): boolean {
  return kind === 'table' || (kind !== 'element' && !isWanted);
}

/** The gates of both families. */
const gates: ReadonlySet<string> = new Set(['vip4', 'vip6']);

function guardedInPart({ constants, elements }: KernelObjects<NftObject>): ReadonlySet<Address> | null {
  if (!constants.some((object) => isStandIn(setOf(object)))) return null;
  return new Set(elements.flatMap((element) => (gates.has(setOf(element)) ? (element.owner ?? []) : [])));
}

function tableIn(objects: readonly KernelObject[]): TableObject | undefined {
  return (objects as readonly NftObject[]).find((object) => object.kind === 'table');
}

/** A table of our name without our layout comment, or a dormant one, guards nothing: it can go at once. */
function isOfOurMake(table: TableObject | undefined): boolean {
  return table !== undefined && table.layout >= 0;
}

/** Throws SystemCallError. */
export async function nftablesRemains(kernel: Kernel): Promise<Remains> {
  const tables = await kernel.dump([tableDump()]).catch(noneWithoutNftables);
  const remove = decode(tables, 0).constants.filter(({ kind }) => kind === 'table');
  const encode = encoder({ setExpressionFlag: true });
  return {
    transaction: remove.length === 0 ? null : encode({ remove, add: [] }),
    words: 'table inet vipward',
  };
}

/** The errnos of a kernel without nf_tables, and of one without nfnetlink: there is no table. */
const absences: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.EPROTONOSUPPORT]);

function noneWithoutNftables(error: unknown): Uint8Array[] {
  if (error instanceof SystemCallError && absences.has(error.errno)) return [];
  throw error;
}

/** Keys per question: the answers must fit the socket's buffer. */
const questionKeys = 256;

/** Reads the counters of some VIPs by key, at a cost that does not grow with the table. */
async function vipCounters(
  kernel: Kernel,
  vips: readonly VirtualIp[],
  countsPorts: boolean,
): Promise<Map<Address, VipCounters>> {
  const counters = new Map<Address, VipCounters>();
  for (const family of [4, 6] as const) {
    const ours = vips.filter((vip) => vip.filtered && familyOf(vip.address) === family);
    const keys = ours.map((vip) => addressBytes(vip.address));
    const dropped = await readKeys(kernel, `drop${family}`, keys);
    const portKeys = countsPorts ? ours.flatMap((vip) => vip.ports.map((port) => portKey(vip, port))) : [];
    const accepted = await readKeys(kernel, `allow${family}`, portKeys);
    let place = 0;
    for (const [index, vip] of ours.entries()) {
      const ports = vip.ports.map(() => (countsPorts ? (accepted[place++] ?? null) : null));
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
