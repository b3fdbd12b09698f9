// Drops packets that claim a VIP of this node as their source. Conntrack would take a packet to that VIP for
// an answer, and answers need no declared port.

import { setName, Verdict } from './constants.ts';
import type { Rule, RuleSpec } from './rule.ts';

/**
 * The rule skips what the node itself sends from its VIPs, since that comes in through lo. IPv4 refuses such
 * a source by itself (fib_validate_source) unless accept_local is set. The rule counts by VIP.
 */
export function forgedRule(rule: Rule): RuleSpec {
  return rule
    .set(setName('vip', 6), ['src'])
    .sourceIsLocal()
    .set(setName('drop', 6), ['src'])
    .comment('vipward: forged, as if from a VIP')
    .verdict(Verdict.DROP);
}
