// Reads foreign rules of xtables tables for one question: which chains can drop a packet that our rules
// accept.

import { textOf, u16 } from '../../netlink/reader.ts';
import type { DumpRequest } from '../dialect.ts';
import { blobOf, type Entry, layoutOf, matchesOf } from './blob.ts';
import { INFO_BYTES, MATCH_HEADER_BYTES, MATCH_NAME, ourChains, Verdict } from './constants.ts';
import { tableDump } from './dumps.ts';
import { jumpsToOurs, jumpTarget } from './edit.ts';
import { type FamilyShape, families } from './families.ts';

/** A built-in chain, described like a base chain of nftables. */
export interface LegacyChain {
  readonly family: 'ip' | 'ip6';
  readonly table: string;
  readonly chain: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** The number of dropping rules in the chain and in the chains it jumps to. */
  readonly drops: number;
}

export interface LegacyTable {
  readonly table: string;
  /** The chains that can drop incoming packets. */
  readonly chains: readonly LegacyChain[];
  /** Every chain that is not ours. */
  readonly names: readonly string[];
  /** The number of foreign rules, without policies. */
  readonly rules: number;
}

/** NF_IP_PRI_* of linux/netfilter_ipv4.h. */
const priorities: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100, security: 50 };
const hookNames: readonly string[] = ['prerouting', 'input', 'forward'];
const droppingTargets: ReadonlySet<string> = new Set(['REJECT', 'TARPIT', 'DELUDE']);

const places = families.flatMap((shape) =>
  ['raw', 'mangle', 'nat', 'filter', 'security'].map((table) => ({ shape, table })),
);

/** Requests every table of both families. A missing table gives an empty reply and is not created. */
export function legacyDumps(): DumpRequest[] {
  return places.map(({ shape, table }) => tableDump(shape.family, table));
}

/** The existing tables, from the replies to legacyDumps(). Throws NetlinkError on malformed bytes. */
export function readLegacy(replies: readonly Uint8Array[]): LegacyTable[] {
  return places.flatMap(({ shape, table }, index) => {
    const reply = replies[index] ?? new Uint8Array();
    return reply.length === 0 ? [] : [readTable(shape, table, reply)];
  });
}

function readTable(shape: FamilyShape, table: string, reply: Uint8Array): LegacyTable {
  const layout = layoutOf(shape, blobOf(reply.subarray(0, INFO_BYTES), reply.subarray(INFO_BYTES)));
  const others = layout.chains.filter(({ name }) => !ourChains.has(name));
  const found: LegacyChain[] = [];
  for (const chain of others) {
    const hook = hookNames[chain.hook ?? -1];
    if (hook === undefined) continue;
    const policy = chain.rules.at(-1)?.verdict === Verdict.DROP ? 'drop' : 'accept';
    const seen = new Set([chain]);
    let drops = 0;
    for (const { rules } of seen) {
      for (const entry of rules.slice(0, -1)) {
        if (isDrop(shape, entry)) drops++;
        const target = jumpTarget(layout, entry);
        if (target !== undefined && !ourChains.has(target.name)) seen.add(target);
      }
    }
    if (policy === 'accept' && drops === 0) continue;
    const family = shape.family === 4 ? 'ip' : 'ip6';
    found.push({ family, table, chain: chain.name, hook, priority: priorities[table] ?? 0, policy, drops });
  }
  const rules = others
    .flatMap((chain) => chain.rules.slice(0, -1))
    .filter((one) => !jumpsToOurs(layout, one));
  return { table, chains: found, names: others.map(({ name }) => name), rules: rules.length };
}

function isDrop(shape: FamilyShape, { bytes, verdict }: Entry): boolean {
  const target = u16(bytes, shape.entry.targetOffset);
  const name = textOf(bytes.subarray(target + MATCH_NAME, target + MATCH_HEADER_BYTES - 1));
  if (verdict !== Verdict.DROP && !droppingTargets.has(name)) return false;
  return !matchesOf(shape, bytes).some((match) => match.name === 'conntrack' && isInvalid(bytes, match.data));
}

/**
 * Whether the rule matches only the conntrack state invalid. struct xt_conntrack_mtinfo2 and 3: match flags
 * at 146 (XT_CONNTRACK_STATE is 1), invert flags at 148, states at 150.
 */
function isInvalid(bytes: Uint8Array, data: number): boolean {
  const state = (u16(bytes, data + 146) & 1) === 1 && (u16(bytes, data + 148) & 1) === 0;
  return state && u16(bytes, data + 150) === 1;
}
