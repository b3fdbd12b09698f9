// The two address families side by side: the layout of a table entry, and ICMP numbers.

import { NFPROTO_IPV4, NFPROTO_IPV6 } from './constants.ts';

/** Offsets in struct ipt_entry or ip6t_entry, in bytes. */
export interface EntryLayout {
  readonly bytes: 112 | 168;
  readonly inInterface: number;
  readonly inMask: number;
  readonly protocol: number;
  readonly flags: number;
  readonly inverted: number;
  readonly cache: number;
  readonly targetOffset: number;
  readonly nextOffset: number;
  readonly comeFrom: number;
  readonly counters: number;
}

export interface FamilyShape {
  readonly family: 4 | 6;
  readonly nfproto: number;
  readonly entry: EntryLayout;
  /** IPT_F_GOTO or IP6T_F_GOTO. */
  readonly gotoFlag: number;
  readonly icmpProtocol: number;
  readonly icmpMatch: 'icmp' | 'icmp6';
  readonly errorTypes: readonly number[];
  readonly echoRequest: number;
}

export const family4: FamilyShape = {
  family: 4,
  nfproto: NFPROTO_IPV4,
  entry: {
    bytes: 112,
    inInterface: 16,
    inMask: 48,
    protocol: 80,
    flags: 82,
    inverted: 83,
    cache: 84,
    targetOffset: 88,
    nextOffset: 90,
    comeFrom: 92,
    counters: 96,
  },
  gotoFlag: 2,
  icmpProtocol: 1,
  icmpMatch: 'icmp',
  // Destination unreachable (including fragmentation needed), time exceeded, parameter problem.
  errorTypes: [3, 11, 12],
  echoRequest: 8,
};

const family6: FamilyShape = {
  family: 6,
  nfproto: NFPROTO_IPV6,
  entry: {
    bytes: 168,
    inInterface: 64,
    inMask: 96,
    protocol: 128,
    flags: 131,
    inverted: 132,
    cache: 136,
    targetOffset: 140,
    nextOffset: 142,
    comeFrom: 144,
    counters: 152,
  },
  gotoFlag: 4,
  icmpProtocol: 58,
  icmpMatch: 'icmp6',
  // The errors (including packet too big), and router and neighbour discovery.
  errorTypes: [1, 2, 3, 4, 133, 134, 135, 136],
  echoRequest: 128,
};

export const families: readonly FamilyShape[] = [family4, family6];

export function shapeOf(family: 4 | 6): FamilyShape {
  return family === 4 ? family4 : family6;
}
