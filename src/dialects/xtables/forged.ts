// Drops packets that claim a VIP of this node as their source. Conntrack would take a packet to that VIP for
// an answer, and answers need no declared port.

import { setName, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import { Rule, type RuleSpec } from './rule.ts';

/**
 * The rule skips what the node itself sends from its VIPs, since that comes in through lo. IPv4 refuses such
 * a source where it routes (fib_validate_source): not if accept_local is set, and no packet that a bridge
 * shows to conntrack. The rule counts by VIP.
 */
export function forgedRule(shape: FamilyShape): RuleSpec {
  return new Rule(shape)
    .set(setName('vip', shape.family), ['src'])
    .sourceIsLocal()
    .set(setName('drop', shape.family), ['src'])
    .comment('vipward: forged, as if from a VIP')
    .verdict(Verdict.DROP);
}
