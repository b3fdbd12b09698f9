// Drops packets that claim a VIP of this node as their source. Conntrack would take a packet to that VIP for
// an answer, and answers need no declared port.

import { NF_DROP, PayloadBase } from './constants.ts';
import type { Rule } from './expressions.ts';
import { type FamilyShape, ruleOf } from './families.ts';
import { fromHere } from './local.ts';

/**
 * The rule stands behind conntrack. A packet that the node itself has sent may come in again, by a VRF, a
 * second bridge or a multicast group: its entry is confirmed. IPv4 refuses such a source where it routes
 * (fib_validate_source), but not with accept_local, and no packet of a bridge. The rule counts by VIP.
 */
export function forgedRule(shape: FamilyShape): Rule {
  return dropped(shape, asFromHere(shape).ctUnconfirmed());
}

/**
 * For the guard of a node that tracks no connections. What a declared port answers to such a packet would go
 * through lo to any port of the VIP. The node's own packets to its VIPs come in by lo alone.
 */
export function reflectedRule(shape: FamilyShape): Rule {
  return dropped(shape, asFromHere(shape));
}

function asFromHere(shape: FamilyShape): Rule {
  return fromHere(source(ruleOf(shape), shape).lookup(`vip${shape.family}`, 0));
}

function dropped(shape: FamilyShape, rule: Rule): Rule {
  return source(rule, shape).lookup(`drop${shape.family}`, 0).verdict(NF_DROP);
}

function source(rule: Rule, { sourceOffset, addressBytes }: FamilyShape): Rule {
  return rule.payload(PayloadBase.NETWORK_HEADER, sourceOffset, addressBytes, 0);
}
