// Which dialect fits this kernel, asked of it; and what the other one left, taken away.

import { choose } from '../dialects/choose.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import { describeErrno } from '../netlink/ack.ts';
import { type Firewall, type FirewallOptions, NoFirewallError, type Remains } from './firewall.ts';
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

/**
 * What dialects other than the one in use have in this kernel; null where none is. Throws SystemCallError.
 */
export async function remainsBeside(kernel: Kernel, inUse: Dialect['name'] | null): Promise<Remains[]> {
  const found: Remains[] = [];
  if (inUse !== 'nftables') found.push(await nftablesRemains(kernel));
  if (inUse !== 'xtables') found.push(await xtablesRemains(kernel));
  return found.filter(({ transaction }) => transaction !== null);
}

/**
 * Takes those away, as is due when the one in use is complete. Returns in words what was there. Throws
 * SystemCallError, and an Error in the kernel's words.
 */
export async function retireOthers(kernel: Kernel, inUse: Dialect['name'] | null): Promise<string[]> {
  const remains = await remainsBeside(kernel, inUse);
  for (const { transaction, words } of remains) {
    const [refused] = transaction === null ? [] : await kernel.commit(transaction);
    if (refused !== undefined) throw new Error(`${words}: ${describeErrno(refused.errno, refused.words)}`);
  }
  return remains.map(({ words }) => words);
}
