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
  const { family, sourceOffset, addressBytes } = shape;
  const source = (rule: Rule): Rule =>
    rule.payload(PayloadBase.NETWORK_HEADER, sourceOffset, addressBytes, 0);
  const ofOurs = fromHere(source(ruleOf(shape)).lookup(`vip${family}`, 0)).ctUnconfirmed(0);
  return source(ofOurs).lookup(`drop${family}`, 0).verdict(NF_DROP);
}
