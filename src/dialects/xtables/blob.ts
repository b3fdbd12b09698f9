// Reads the entries of a table from the kernel without copying them. Invalid offsets throw NetlinkError.

import { NetlinkError, textOf, u16, u32 } from '../../netlink/reader.ts';
import {
  ERROR_TARGET,
  ERROR_TARGET_BYTES,
  INFO_BYTES,
  MATCH_HEADER_BYTES,
  MATCH_NAME,
  NF_INET_NUMHOOKS,
  STANDARD_TARGET_BYTES,
} from './constants.ts';
import type { FamilyShape } from './families.ts';

/** A table: struct ipt_getinfo and its entries one after another. */
export interface Blob {
  readonly validHooks: number;
  readonly hookEntry: readonly number[];
  readonly underflow: readonly number[];
  readonly entryCount: number;
  readonly entries: Uint8Array;
}

export interface Entry {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The verdict of a standard target; undefined for other targets. */
  readonly verdict: number | undefined;
}

export interface BlobChain {
  readonly name: string;
  /** The hook of a built-in chain; null for a user chain. */
  readonly hook: number | null;
  /** The first entry of a user chain, which holds its name; null for a built-in chain. */
  readonly head: Entry | null;
  /** The chain's rules; the last is the policy or the return. */
  readonly rules: readonly Entry[];
}

export interface Layout {
  readonly chains: readonly BlobChain[];
  /** The entry that ends the table. */
  readonly end: Entry;
  /** Every entry, in order. */
  readonly all: readonly Entry[];
  /** Chains by the offset of their first rule, which is the target of jumps. */
  readonly starts: ReadonlyMap<number, BlobChain>;
}

const hookNames = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const;

/** A table from the kernel's two answers. Throws NetlinkError. */
export function blobOf(info: Uint8Array, entries: Uint8Array): Blob {
  if (info.length < INFO_BYTES) throw new NetlinkError(`${info.length} bytes of information on a table`);
  const words = (place: number): number[] =>
    Array.from({ length: NF_INET_NUMHOOKS }, (_, index) => u32(info, place + index * 4));
  const size = u32(info, 80);
  if (entries.length !== size) throw new NetlinkError(`${entries.length} bytes of a table of ${size}`);
  const [hookEntry, underflow] = [words(36), words(56)];
  return { validHooks: u32(info, 32), hookEntry, underflow, entryCount: u32(info, 76), entries };
}

/** The chains of a table in order. Throws NetlinkError. */
export function layoutOf(shape: FamilyShape, blob: Blob): Layout {
  const all = entriesOf(shape, blob.entries);
  const hooks = new Map<number, number>();
  for (let hook = 0; hook < NF_INET_NUMHOOKS; hook++) {
    if ((blob.validHooks & (1 << hook)) !== 0) hooks.set(blob.hookEntry[hook] ?? 0, hook);
  }
  const end = all.at(-1);
  if (end === undefined || all.length !== blob.entryCount)
    throw new NetlinkError(`${all.length} entries in a table of ${blob.entryCount}`);
  const chains: { name: string; hook: number | null; head: Entry | null; rules: Entry[] }[] = [];
  for (const entry of all.slice(0, -1)) {
    const hook = hooks.get(entry.offset);
    const name = errorName(shape, entry);
    if (hook !== undefined) chains.push({ name: hookNames[hook] ?? '', hook, head: null, rules: [entry] });
    else if (name !== undefined) chains.push({ name, hook: null, head: entry, rules: [] });
    else {
      const chain = chains.at(-1);
      if (chain === undefined) throw new NetlinkError('an entry in front of every chain');
      chain.rules.push(entry);
    }
  }
  return { chains, end, all, starts: new Map(chains.map((chain) => [chain.rules[0]?.offset ?? -1, chain])) };
}

/** The matches of an entry by name, with the offset of each match's data in the entry. */
export function matchesOf(shape: FamilyShape, bytes: Uint8Array): { name: string; data: number }[] {
  const matches: { name: string; data: number }[] = [];
  const target = u16(bytes, shape.entry.targetOffset);
  let place: number = shape.entry.bytes;
  while (place < target) {
    const size = u16(bytes, place);
    if (size < MATCH_HEADER_BYTES || place + size > target)
      throw new NetlinkError(`a match of ${size} bytes`);
    const name = textOf(bytes.subarray(place + MATCH_NAME, place + MATCH_HEADER_BYTES - 1));
    matches.push({ name, data: place + MATCH_HEADER_BYTES });
    place += size;
  }
  return matches;
}

/** The offset of the set index to add to, in a rule with the target SET; undefined for other targets. */
export function setTargetPlace(shape: FamilyShape, bytes: Uint8Array): number | undefined {
  const target = u16(bytes, shape.entry.targetOffset);
  const name = textOf(bytes.subarray(target + MATCH_NAME, target + MATCH_HEADER_BYTES - 1));
  return name === 'SET' ? target + MATCH_HEADER_BYTES : undefined;
}

/** The offset of a standard target's verdict in its entry. */
export function verdictPlace(shape: FamilyShape, bytes: Uint8Array): number {
  return u16(bytes, shape.entry.targetOffset) + MATCH_HEADER_BYTES;
}

function entriesOf(shape: FamilyShape, bytes: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const rest = bytes.length - offset;
    const next = rest < shape.entry.bytes ? 0 : u16(bytes, offset + shape.entry.nextOffset);
    const target = rest < shape.entry.bytes ? 0 : u16(bytes, offset + shape.entry.targetOffset);
    if (target < shape.entry.bytes || next < target + MATCH_HEADER_BYTES || next > rest)
      throw new NetlinkError(`an entry of ${next} bytes, its target at ${target}, in ${rest}`);
    const entry = bytes.subarray(offset, offset + next);
    const isStandard = next - target === STANDARD_TARGET_BYTES && entry[target + MATCH_NAME] === 0;
    const verdict = isStandard ? u32(entry, target + MATCH_HEADER_BYTES) | 0 : undefined;
    entries.push({ offset, bytes: entry, verdict });
    offset += next;
  }
  return entries;
}

/** The name in an error target; only chain heads and the end of the table have one. */
function errorName(shape: FamilyShape, { bytes }: Entry): string | undefined {
  const target = u16(bytes, shape.entry.targetOffset);
  if (bytes.length - target !== ERROR_TARGET_BYTES) return undefined;
  const text = (from: number, to: number): string => textOf(bytes.subarray(target + from, target + to));
  return text(MATCH_NAME, 31) === ERROR_TARGET ? text(MATCH_HEADER_BYTES, ERROR_TARGET_BYTES) : undefined;
}
