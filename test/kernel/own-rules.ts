// The Rules of an agent on a test's own kernel, without the rest of the agent.

import { nftablesFirewall } from '../../src/agent/firewall/nftables.ts';
import { Census } from '../../src/agent/rules/census.ts';
import { Rules, type RulesParts } from '../../src/agent/rules/rules.ts';
import { capabilities, plain } from './own-kernel.ts';

/** With nf_tables and a census of the usual size, unless `parts` says otherwise. */
export function rulesOf(parts: Pick<RulesParts, 'kernel' | 'ledger'> & Partial<RulesParts>): Rules {
  const ignore = (): void => {};
  return new Rules({
    isOwn: () => false,
    firewall: nftablesFirewall(capabilities, { ...plain, wish: 'nftables', owner: false }),
    census: new Census(),
    refuse: ignore,
    committed: ignore,
    overtaken: ignore,
    observe: ignore,
    onComplete: ignore,
    withdraw: async () => {},
    retain: async () => {},
    ...parts,
  });
}
