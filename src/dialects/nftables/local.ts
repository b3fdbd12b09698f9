// Whether an address of a packet is one of this node.

import {
  FibAttribute,
  NFT_FIB_RESULT_ADDRTYPE,
  NFTA_FIB_F_DADDR,
  NFTA_FIB_F_SADDR,
  RTN_LOCAL,
} from './constants.ts';
import { type Rule, register } from './expressions.ts';

const local = Uint8Array.of(RTN_LOCAL, 0, 0, 0);

/** Matches a source that is an address of this node. */
export function fromHere(rule: Rule): Rule {
  return addressType(rule, NFTA_FIB_F_SADDR).compareEqual(0, local);
}

/** Matches a destination that is no address of this node. */
export function toElsewhere(rule: Rule): Rule {
  return addressType(rule, NFTA_FIB_F_DADDR).compareNotEqual(0, local);
}

function addressType(rule: Rule, flags: number): Rule {
  return rule.expression('fib', (writer) => {
    writer.attributeU32Be(FibAttribute.DREG, register(0));
    writer.attributeU32Be(FibAttribute.RESULT, NFT_FIB_RESULT_ADDRTYPE);
    writer.attributeU32Be(FibAttribute.FLAGS, flags);
  });
}
