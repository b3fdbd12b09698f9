// Drops packets that claim a VIP of this node as their source. Conntrack would take a packet to that VIP for
// an answer, and answers need no declared port.

import { setName, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import { Rule, type RuleSpec } from './rule.ts';

/**
 * The rule stands behind conntrack. A packet that the node itself has sent may come in again, by a VRF, a
 * second bridge or a multicast group: its entry is confirmed. IPv4 refuses such a source where it routes
 * (fib_validate_source), but not with accept_local, and no packet of a bridge. The rule counts by VIP.
 */
export function forgedRule(shape: FamilyShape): RuleSpec {
  return new Rule(shape)
    .set(setName('vip', shape.family), ['src'])
    .sourceIsLocal()
    .unconfirmed()
    .set(setName('drop', shape.family), ['src'])
    .comment('vipward: forged, as if from a VIP')
    .verdict(Verdict.DROP);
}
