// What says that it comes from a VIP of this very node. Conntrack would take what then goes to that VIP for
// answers, which need no declared port.

import { NF_DROP, PayloadBase } from './constants.ts';
import type { Rule } from './expressions.ts';
import { family6, ruleOf } from './families.ts';

/**
 * What the node itself sends from its VIPs comes in through lo, if at all. IPv4 refuses such a source by
 * itself (fib_validate_source), unless it is told otherwise by accept_local. Counts by VIP.
 */
export function forgedRule(): Rule {
  const { family, sourceOffset, addressBytes } = family6;
  const source = (rule: Rule): Rule =>
    rule.payload(PayloadBase.NETWORK_HEADER, sourceOffset, addressBytes, 0);
  const ofOurs = source(ruleOf(family6)).lookup(`vip${family}`, 0).sourceIsLocal(0);
  return source(ofOurs).lookup(`drop${family}`, 0).verdict(NF_DROP);
}
