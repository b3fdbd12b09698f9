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
  return dropped(shape, asFromHere(shape).unconfirmed());
}

/**
 * For the guard of a node that tracks no connections. What a declared port answers to such a packet would go
 * through lo to any port of the VIP. The node's own packets to its VIPs come in by lo alone.
 */
export function reflectedRule(shape: FamilyShape): RuleSpec {
  return dropped(shape, asFromHere(shape));
}

function asFromHere(shape: FamilyShape): Rule {
  return new Rule(shape).set(setName('vip', shape.family), ['src']).sourceIsLocal();
}

function dropped(shape: FamilyShape, rule: Rule): RuleSpec {
  return rule
    .set(setName('drop', shape.family), ['src'])
    .comment('vipward: forged, as if from a VIP')
    .verdict(Verdict.DROP);
}
