// Numbers of linux/netfilter/x_tables.h, xt_set.h and ipset/ip_set.h, and the names of our chains and sets.

/** For getsockopt at level SOL_IP or SOL_IPV6. */
export const SO_GET_INFO = 64;

export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_LOCAL_OUT = 3;
export const NF_INET_NUMHOOKS = 5;

/** Verdicts of a standard target. A verdict of 0 or more is the offset of the next entry. */
export const Verdict = { DROP: -1, ACCEPT: -2, RETURN: -5 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** struct xt_entry_match and xt_entry_target: u16 size, name, revision, then the data. */
export const MATCH_HEADER_BYTES = 32;
export const MATCH_NAME = 2;
export const MATCH_REVISION = 31;
export const STANDARD_TARGET_BYTES = 40;
/** The target of the first entry of every user chain and of the last entry of the table. */
export const ERROR_TARGET = 'ERROR';
export const ERROR_TARGET_BYTES = 64;
/** struct ipt_getinfo: name, valid hooks, entry and underflow offsets by hook, number of entries, size. */
export const INFO_BYTES = 84;
/** struct ipt_replace before the entries; the same for both families. */
export const REPLACE_BYTES = 96;

/** The revisions that iptables itself uses, so that iptables-save and iptables-restore can read our rules. */
export const setTargetRevision = 3;
export const matchRevisions = {
  comment: 0,
  set: 4,
  icmp: 0,
  icmp6: 0,
  tcp: 0,
  frag: 0,
  conntrack: 3,
  addrtype: 1,
} as const;

/** IPT_INV_PROTO and IP6T_INV_PROTO. */
export const XT_INV_PROTO = 0x40;

/** Flags of an entry (ip_tables.h, ip6_tables.h), of the matches of our rules, and of ipset's target. */
export const Flag = {
  IPT_F_FRAG: 1,
  IP6T_F_PROTO: 1,
  IP6T_FRAG_FST: 8,
  XT_ADDRTYPE_LOCAL: 4,
  XT_ADDRTYPE_INVERT_DEST: 2,
  XT_TCP_INV_FLAGS: 4,
  IPSET_INV_MATCH: 1,
  IPSET_FLAG_SKIP_COUNTER_UPDATE: 8,
  IPSET_FLAG_EXIST: 1,
} as const;

/** No set, where a match or a target may have several. */
export const IPSET_INVALID_ID = 0xffff;

/** Flags of the match conntrack, its bits of a state, and IPS_CONFIRMED. */
export const Conntrack = {
  STATE: 1,
  STATUS: 0x40,
  DIRECTION: 0x1000,
  /** XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED). */
  ESTABLISHED: 2,
  SNAT: 0x40,
  DNAT: 0x80,
  CONFIRMED: 0x8,
} as const;

/** NFNL_SUBSYS_IPSET in the high byte. */
export const Command = {
  PROTOCOL: 0x601,
  CREATE: 0x602,
  DESTROY: 0x603,
  SWAP: 0x606,
  LIST: 0x607,
  ADD: 0x609,
  DEL: 0x60a,
  TYPE: 0x60d,
} as const;

export const ipsetProtocol = 7;

export const SetAttribute = {
  PROTOCOL: 1,
  SETNAME: 2,
  /** In a SWAP this attribute is the name of the other set. */
  TYPENAME: 3,
  REVISION: 4,
  FAMILY: 5,
  FLAGS: 6,
  DATA: 7,
  ADT: 8,
  INDEX: 11,
} as const;

export const DataAttribute = {
  IP: 1,
  CIDR: 3,
  PORT: 4,
  TIMEOUT: 6,
  PROTO: 7,
  CADT_FLAGS: 8,
  HASHSIZE: 18,
  MAXELEM: 19,
  IP2: 20,
  CIDR2: 21,
  PACKETS: 25,
} as const;

/** Attributes of a set's header only; in an element the same numbers mean something else. */
export const CreateAttribute = { NETMASK: 20, BITMASK: 27 } as const;

export const IPADDR_IPV4 = 1;
export const IPADDR_IPV6 = 2;
/** A flag of an ipset attribute: its value is in network byte order. */
export const NLA_F_NET_BYTEORDER = 0x4000;
/** IPSET_FLAG_WITH_COUNTERS of a set, and IPSET_FLAG_LIST_HEADER of a LIST request. */
export const WITH_COUNTERS = 8;
export const LIST_HEADER = 4;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;

/** Revisions that every kernel since 5.10 knows; a newer revision creates a set with the same attributes. */
export const setTypes = {
  'hash:ip': { revision: 4 },
  'hash:ip,port': { revision: 5 },
  'hash:ip,port,net': { revision: 7 },
} as const;
export type SetType = keyof typeof setTypes;

/**
 * Our chains in the order in which iptables sorts them, in lower case because each contains `vipward`. The
 * chains for ports exist in IPv6 only, where a chain before them sorts out fragments.
 */
export const chainNames = {
  egress: 'vipward-egress',
  egressPorts: 'vipward-egress-ports',
  forged: 'vipward-forged',
  guard: 'vipward-guard',
  guardPorts: 'vipward-guard-ports',
  input: 'vipward-input',
  inputPorts: 'vipward-input-ports',
  sent: 'vipward-sent',
} as const;
export type ChainName = (typeof chainNames)[keyof typeof chainNames];

export const ourChains: ReadonlySet<string> = new Set(Object.values(chainNames));

/** Sets that hold desired elements. */
export const setKinds = ['allow', 'src', 'host', 'egress', 'drop', 'vip'] as const;
/** Sets that rules fill with samples; diffs ignore them. */
export const sampleKinds = ['seen', 'last'] as const;
/** Also filled by rules: the ports that VIPs with egress have sent from. */
export const sentKind = 'sent';
export type SetKind = (typeof setKinds)[number] | (typeof sampleKinds)[number] | typeof sentKind;

/** The suffix of a new set until it is filled and swapped for the old one. */
export const swapSuffix = '-new';

export function setName(kind: SetKind, family: 4 | 6): string {
  return `vipward-${kind}${family}`;
}
