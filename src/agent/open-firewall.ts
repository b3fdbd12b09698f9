// Which dialect fits this kernel, asked of it; and what the other one left, taken away.

import { choose } from '../dialects/choose.ts';
import type { Dialect } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import { describeErrno } from '../netlink/ack.ts';
import { type Firewall, type FirewallOptions, NoFirewallError } from './firewall.ts';
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
 * Takes away what another dialect has in this kernel, when the one in use is complete. Returns in words what was
 * there. Throws SystemCallError, and an Error in the kernel's words.
 */
export async function retireOthers(kernel: Kernel, inUse: Dialect['name']): Promise<string[]> {
  const removed: string[] = [];
  for (const remains of [nftablesRemains, xtablesRemains]) {
    const { name, transaction, words } = await remains(kernel);
    if (name === inUse || transaction === null) continue;
    const [refused] = await kernel.commit(transaction);
    if (refused !== undefined) throw new Error(`${words}: ${describeErrno(refused.errno, refused.words)}`);
    removed.push(words);
  }
  return removed;
}
