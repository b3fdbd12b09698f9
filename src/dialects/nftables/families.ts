// The two address families side by side: where addresses stand in a header, and what ICMP is called there.

import { NFPROTO_IPV4, NFPROTO_IPV6, PayloadBase } from './constants.ts';
import { Rule } from './expressions.ts';

/** One address family: where its addresses stand in the header, and what its ICMP is called. */
export interface FamilyShape {
  readonly family: 4 | 6;
  readonly nfproto: number;
  readonly addressBytes: 4 | 16;
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  readonly icmpProtocol: number;
  readonly errorTypes: readonly number[];
  readonly echoRequest: number;
  readonly echoReply: number;
}

const family4: FamilyShape = {
  family: 4,
  nfproto: NFPROTO_IPV4,
  addressBytes: 4,
  sourceOffset: 12,
  destinationOffset: 16,
  icmpProtocol: 1,
  // Destination unreachable (with fragmentation needed), time exceeded, parameter problem.
  errorTypes: [3, 11, 12],
  echoRequest: 8,
  echoReply: 0,
};

export const family6: FamilyShape = {
  family: 6,
  nfproto: NFPROTO_IPV6,
  addressBytes: 16,
  sourceOffset: 8,
  destinationOffset: 24,
  icmpProtocol: 58,
  // The errors, packet too big among them, and router and neighbour discovery.
  errorTypes: [1, 2, 3, 4, 133, 134, 135, 136],
  echoRequest: 128,
  echoReply: 129,
};

export const families: readonly FamilyShape[] = [family4, family6];

/**
 * Every rule says its family again: the kernel would do without, but nft names fields only where it is said.
 */
export function ruleOf({ nfproto }: FamilyShape): Rule {
  return new Rule().metaNfproto(0).compareEqual(0, Uint8Array.of(nfproto));
}

/** The destination is in a set of addresses. */
export function address(shape: FamilyShape, set: string): Rule {
  return ruleOf(shape)
    .payload(PayloadBase.NETWORK_HEADER, shape.destinationOffset, shape.addressBytes, 0)
    .lookup(set, 0);
}
