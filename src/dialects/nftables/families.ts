// The two address families side by side: offsets of addresses in a header, and ICMP numbers.

import { NFPROTO_IPV4, NFPROTO_IPV6, PayloadBase } from './constants.ts';
import { Rule } from './expressions.ts';

export interface FamilyShape {
  readonly family: 4 | 6;
  readonly nfproto: number;
  readonly addressBytes: 4 | 16;
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  readonly icmpProtocol: number;
  readonly errorTypes: readonly number[];
  readonly echoRequest: number;
}

const family4: FamilyShape = {
  family: 4,
  nfproto: NFPROTO_IPV4,
  addressBytes: 4,
  sourceOffset: 12,
  destinationOffset: 16,
  icmpProtocol: 1,
  // Destination unreachable (including fragmentation needed), time exceeded, parameter problem.
  errorTypes: [3, 11, 12],
  echoRequest: 8,
};

const family6: FamilyShape = {
  family: 6,
  nfproto: NFPROTO_IPV6,
  addressBytes: 16,
  sourceOffset: 8,
  destinationOffset: 24,
  icmpProtocol: 58,
  // The errors (including packet too big), and router and neighbour discovery.
  errorTypes: [1, 2, 3, 4, 133, 134, 135, 136],
  echoRequest: 128,
};

export const families: readonly FamilyShape[] = [family4, family6];

/** Every rule tests its family again: the kernel needs no test, but nft prints field names only with one. */
export function ruleOf({ nfproto }: FamilyShape): Rule {
  return new Rule().metaNfproto(0).compareEqual(0, Uint8Array.of(nfproto));
}

/** Matches a destination in a set of addresses. */
export function address(shape: FamilyShape, set: string): Rule {
  return ruleOf(shape)
    .payload(PayloadBase.NETWORK_HEADER, shape.destinationOffset, shape.addressBytes, 0)
    .lookup(set, 0);
}
