// Probes the kernel for the dialect to use, and removes what the other dialect left.

import { setTimeout as sleep } from 'node:timers/promises';
import { choose } from '../../dialects/choose.ts';
import type { Dialect } from '../../dialects/dialect.ts';
import type { Kernel } from '../../host/kernel.ts';
import { describeErrno } from '../../netlink/ack.ts';
import type { Log } from '../../process/log.ts';
import {
  type Firewall,
  type FirewallOptions,
  NoFirewallError,
  type Remains,
  TableOwnedError,
} from './firewall.ts';
import { nftablesFirewall, nftablesRemains, probeNftables } from './nftables.ts';
import { askXtables, xtablesFirewall, xtablesRemains } from './xtables.ts';

/** Asks the kernel what it can do. Throws NoFirewallError, TableOwnedError, SystemCallError. */
export async function openFirewall(kernel: Kernel, options: FirewallOptions): Promise<Firewall> {
  const probed = options.wish === 'xtables' ? undefined : await probeNftables(kernel);
  const refusal = probed?.refusal ?? 0;
  const needed = options.wish === 'xtables' || (options.wish === 'auto' && refusal !== 0);
  const choice = choose(options.wish, refusal, needed ? await askXtables(kernel) : []);
  if (choice.name === null) throw new NoFirewallError(choice.missing.join('; '));
  if (choice.name === 'xtables') return xtablesFirewall(choice, options);
  return nftablesFirewall(probed, options);
}

/** The kernel sends no event when an owner releases its table. */
const lookAgainMs = 200;
/** A process that owns our table for longer than this is not about to end. */
const ownerPatienceMs = 5000;

/**
 * Like openFirewall, but waits for an owner of the table that is ending: an ending agent gives up its lock
 * before the kernel releases its table, which waits for other processes' commits. Throws the signal's reason
 * once it is aborted.
 */
export async function openFirewallAtStart(
  kernel: Kernel,
  options: FirewallOptions,
  { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
): Promise<Firewall> {
  const untilMs = performance.now() + ownerPatienceMs;
  for (let looks = 0; ; looks++) {
    try {
      return await openFirewall(kernel, options);
    } catch (error) {
      if (!(error instanceof TableOwnedError) || performance.now() >= untilMs) throw error;
      if (looks === 0) log.warn({ reason: error.message }, 'tableOwned');
    }
    await sleep(lookAgainMs, undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
  }
}

/**
 * What the dialects not in use have left in this kernel; `inUse` is null if none is. Throws SystemCallError.
 */
export async function remainsBeside(kernel: Kernel, inUse: Dialect['name'] | null): Promise<Remains[]> {
  const found: Remains[] = [];
  if (inUse !== 'nftables') found.push(await nftablesRemains(kernel));
  if (inUse !== 'xtables') found.push(await xtablesRemains(kernel));
  return found.filter(({ transaction }) => transaction !== null);
}

/**
 * Removes what the other dialects left; due once the one in use is complete. Returns descriptions of what was
 * removed. Throws SystemCallError, and an Error in the kernel's words.
 */
export async function retireOthers(kernel: Kernel, inUse: Dialect['name'] | null): Promise<string[]> {
  const remains = await remainsBeside(kernel, inUse);
  for (const { transaction, words } of remains) {
    const [refused] = transaction === null ? [] : await kernel.commit(transaction);
    if (refused !== undefined) throw new Error(`${words}: ${describeErrno(refused.errno, refused.words)}`);
  }
  return remains.map(({ words }) => words);
}
