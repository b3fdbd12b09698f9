// What says that it comes from a VIP of this very node. Conntrack would take what then goes to that VIP for
// answers, which need no declared port.

import { setName, Verdict } from './constants.ts';
import type { Rule, RuleSpec } from './rule.ts';

/**
 * What the node itself sends from its VIPs comes in through lo, if at all. IPv4 refuses such a source by
 * itself (fib_validate_source), unless it is told otherwise by accept_local. Counts by VIP.
 */
export function forgedRule(rule: Rule): RuleSpec {
  return rule
    .set(setName('vip', 6), ['src'])
    .set(setName('vip', 6), ['dst'], { not: true })
    .sourceIsLocal()
    .set(setName('drop', 6), ['src'])
    .comment('vipward: forged, as if from a VIP')
    .verdict(Verdict.DROP);
}
