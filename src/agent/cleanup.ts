// `vipward cleanup`: removes our addresses, filter and state file from this node, while no agent runs.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { linkDump, readLinks } from '../dialects/addresses/links.ts';
import type { AddressObject } from '../dialects/addresses/objects.ts';
import { Kernel } from '../host/kernel.ts';
import { loadNative } from '../host/native.ts';
import { SystemCallError } from '../host/socket.ts';
import { describeErrno, type Receipt } from '../netlink/ack.ts';
import { Errno } from '../netlink/message.ts';
import { messageOf } from '../process/message-of.ts';
import { ownAddresses, takeAway } from './addresses/own-addresses.ts';
import { journalFile } from './disk/journal-file.ts';
import { remainsBeside, retireOthers } from './firewall/open-firewall.ts';
import { lockHolder, processOf } from './lock.ts';

export interface CleanupOptions {
  readonly stateDir: string;
  /** The interfaces to remove addresses from; undefined means all. */
  readonly interfaces: NamedInterfaces | undefined;
  /** The lock file of legacy xtables, if it is not the default one. */
  readonly lockFile?: string | undefined;
}

/** Interface names, and the flag or variable they come from. */
export interface NamedInterfaces {
  readonly names: readonly string[];
  readonly where: string;
}

/** How many addresses one line about a failed removal names. */
const mostNamed = 8;

interface Result {
  readonly code: number;
  readonly lines: string[];
}

/**
 * Removes addresses first, then the filter. The filter stays while another interface still has an address of
 * ours. Resolves to exit code 0 and what was removed, or 1 and why something was not.
 */
export async function cleanup(options: CleanupOptions): Promise<Result> {
  const native = loadNative();
  const holder = await lockHolder(native);
  if (holder !== undefined)
    return { code: 1, lines: [`an agent runs here (${processOf(holder)}); end it first`] };
  using kernel = new Kernel(native, options);
  try {
    return await removeAll(kernel, options);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return { code: 1, lines: [withRemedy(error.message, error.errno)] };
  }
}

async function removeAll(kernel: Kernel, { stateDir, interfaces }: CleanupOptions): Promise<Result> {
  const links = readLinks(await kernel.ask(linkDump()));
  const unknown = interfaces?.names.filter((name) => !links.some((link) => link.name === name)) ?? [];
  if (unknown.length > 0) {
    const known = links.map(({ name }) => name).join(', ');
    return { code: 1, lines: [`${interfaces?.where}: no ${unknown.join(', ')} here; name some of ${known}`] };
  }
  const nameOf = new Map(links.map(({ index, name }) => [index, name]));
  const chosen = ({ interfaceIndex }: AddressObject): boolean =>
    interfaces === undefined || interfaces.names.includes(nameOf.get(interfaceIndex) ?? '');
  const ours = await ownAddresses(kernel);
  const stale = ours.filter(chosen);
  const refused = await takeAway(kernel, stale);
  if (refused.length > 0) return { code: 1, lines: staying(refused) };
  const lines = stale.map(({ address }) => `removed address ${address}`);
  const others = ours.filter((object) => !chosen(object));
  if (others.length > 0) {
    const names = [...new Set(others.map(({ interfaceIndex }) => nameOf.get(interfaceIndex)))].join(', ');
    const kept = (await remainsBeside(kernel, null)).map(({ words }) => words).join(', ') || 'no filter';
    return { code: 0, lines: [...lines, `kept ${kept}: there are VIPs on ${names}`] };
  }
  const filter = await removeFilters(kernel);
  lines.push(...filter.lines);
  if (filter.code !== 0) return { code: filter.code, lines };
  const state = removeState(join(stateDir, journalFile));
  if (state.lines.length > 0) return { code: state.code, lines: [...lines, ...state.lines] };
  if (lines.length === 0) return { code: 0, lines: ['found nothing of vipward'] };
  const next = 'if the agent had another --state, run this again with that one';
  return { code: 0, lines: [...lines, `found no last state in ${stateDir}: ${next}`] };
}

/** Removes the last state: from it the next agent would take its VIPs before it reaches a controller. */
function removeState(path: string): Result {
  try {
    rmSync(path);
    return { code: 0, lines: [`removed ${path}`] };
  } catch (error) {
    if (isNoFile(error as NodeJS.ErrnoException)) return { code: 0, lines: [] };
    const next = 'remove it by hand, or the next agent takes the VIPs that it names';
    return { code: 1, lines: [`could not remove ${path}: ${(error as Error).message}; ${next}`] };
  }
}

function isNoFile({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Lines about addresses that the kernel refused to remove, one for each distinct error. */
function staying(refused: Receipt<AddressObject>): string[] {
  const groups = Map.groupBy(refused, ({ errno, words }) => withRemedy(describeErrno(errno, words), errno));
  return [...groups].map(([why, group]) => {
    const named = group.slice(0, mostNamed).map(({ object }) => object?.address ?? 'an address');
    const more = group.length - named.length;
    return `could not remove ${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}: ${why}`;
  });
}

/** Removes the filters of both dialects. Fails if another process owns the nftables table. */
async function removeFilters(kernel: Kernel): Promise<Result> {
  try {
    const words = await retireOthers(kernel, null);
    return { code: 0, lines: words.map((what) => `removed ${what}`) };
  } catch (error) {
    const words = messageOf(error);
    return { code: 1, lines: [error instanceof SystemCallError ? withRemedy(words, error.errno) : words] };
  }
}

function withRemedy(words: string, errno: number): string {
  return errno === Errno.EPERM ? `${words}; run it as root, or give it CAP_NET_ADMIN` : words;
}
