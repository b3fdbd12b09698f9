// The numbers of linux/netfilter/nf_tables.h and of our own table.

export const tableName = 'vipward';
/** The layout of the table, stored in its comment. A table with another layout is replaced, never patched. */
export const layout = 1;

export const NFPROTO_INET = 1;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;

/** Message types, with the subsystem (10) in the high byte. */
export const Message = {
  NEWTABLE: 0xa00,
  GETTABLE: 0xa01,
  DELTABLE: 0xa02,
  NEWCHAIN: 0xa03,
  GETCHAIN: 0xa04,
  DELCHAIN: 0xa05,
  NEWRULE: 0xa06,
  GETRULE: 0xa07,
  DELRULE: 0xa08,
  NEWSET: 0xa09,
  GETSET: 0xa0a,
  DELSET: 0xa0b,
  NEWSETELEM: 0xa0c,
  GETSETELEM: 0xa0d,
  DELSETELEM: 0xa0e,
  NEWGEN: 0xa0f,
  GETGEN: 0xa10,
} as const;

export const NFT_TABLE_F_DORMANT = 1;
export const NFT_TABLE_F_OWNER = 2;
export const NFT_TABLE_F_PERSIST = 4;

export const TableAttribute = { NAME: 1, FLAGS: 2, HANDLE: 4, USERDATA: 6, OWNER: 7 } as const;
export const ChainAttribute = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, USE: 6, TYPE: 7, FLAGS: 10 } as const;
/** An anonymous chain that a rule jumps to; it lives and dies with the rule. */
export const NFT_CHAIN_BINDING = 4;
export const HookAttribute = { HOOKNUM: 1, PRIORITY: 2 } as const;
export const RuleAttribute = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
export const SetAttribute = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DESC: 9,
  ID: 10,
  TIMEOUT: 11,
  EXPR: 17,
} as const;
export const DescAttribute = { SIZE: 1 } as const;
export const ElementListAttribute = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
export const ElementAttribute = { KEY: 1, TIMEOUT: 4, EXPIRATION: 5, EXPR: 7 } as const;
export const CounterAttribute = { BYTES: 1, PACKETS: 2 } as const;
export const LIST_ELEM = 1;
export const EXPR_NAME = 1;
export const EXPR_DATA = 2;
export const DATA_VALUE = 1;
export const DATA_VERDICT = 2;
export const VerdictAttribute = { CODE: 1, CHAIN: 2 } as const;
/** The register whose value is a verdict; NFT_REG_VERDICT. */
export const REG_VERDICT = 0;

export const MetaAttribute = { DREG: 1, KEY: 2 } as const;
export const MetaKey = { IIF: 4, NFPROTO: 15, L4PROTO: 16 } as const;
export const PayloadAttribute = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
export const PayloadBase = { NETWORK_HEADER: 1, TRANSPORT_HEADER: 2 } as const;
export type PayloadBase = (typeof PayloadBase)[keyof typeof PayloadBase];
export const ExthdrAttribute = { DREG: 1, TYPE: 2, OFFSET: 3, LEN: 4, FLAGS: 5, OP: 6 } as const;
export const NFT_EXTHDR_OP_IPV6 = 0;
export const CmpAttribute = { SREG: 1, OP: 2, DATA: 3 } as const;
export const CmpOperator = { EQ: 0, NEQ: 1 } as const;
export const BitwiseAttribute = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5, OP: 6 } as const;
export const NFT_BITWISE_BOOL = 0;
export const LookupAttribute = { SET: 1, SREG: 2, FLAGS: 5 } as const;
export const NFT_LOOKUP_F_INV = 1;
export const ImmediateAttribute = { DREG: 1, DATA: 2 } as const;
export const DynsetAttribute = { SET_NAME: 1, OP: 3, SREG_KEY: 4, TIMEOUT: 6, EXPR: 7, FLAGS: 9 } as const;
export const NFT_DYNSET_OP_UPDATE = 1;
export const CtAttribute = { DREG: 1, KEY: 2 } as const;
export const NFT_CT_STATE = 0;
export const NFT_CT_DIRECTION = 1;
export const NFT_CT_STATUS = 2;
export const IP_CT_DIR_ORIGINAL = 0;
export const IP_CT_DIR_REPLY = 1;
/** NF_CT_STATE_BIT(IP_CT_ESTABLISHED). */
export const STATE_ESTABLISHED = 2;
export const IPS_CONFIRMED = 0x8;
export const IPS_SRC_NAT = 0x10;
export const IPS_DST_NAT = 0x20;

export const FibAttribute = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
export const NFT_FIB_RESULT_ADDRTYPE = 3;
export const NFTA_FIB_F_SADDR = 1;
export const NFTA_FIB_F_DADDR = 2;
export const RTN_LOCAL = 2;

export const NFT_SET_ANONYMOUS = 0x1;
export const NFT_SET_TIMEOUT = 0x10;
/** Rules may add elements; nft calls it `flags dynamic`. */
export const NFT_SET_EVAL = 0x20;
export const NFT_SET_EXPR = 0x100;

export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_LOCAL_OUT = 3;

export const NF_DROP = 0;
export const NF_ACCEPT = 1;
export const NFT_JUMP = -3;
export const NFT_GOTO = -4;

/**
 * Key types of nft's display: six bits a field, the first field highest, made of ipv4_addr 7, ipv6_addr 8,
 * inet_proto 12, inet_service 13, icmp_type 14 and icmpv6_type 29 (the datatypes of libnftables).
 */
export const KeyType = {
  address4: 7,
  address6: 8,
  /** 7 << 12 | 12 << 6 | 13 */
  port4: 29_453,
  /** 8 << 12 | 12 << 6 | 13 */
  port6: 33_549,
  /** port4 << 6 | 7 */
  source4: 1_884_999,
  /** port6 << 6 | 8 */
  source6: 2_147_144,
  /** 7 << 18 | port4 */
  seen4: 1_864_461,
  /** 8 << 18 | port6 */
  seen6: 2_130_701,
  icmp4: 14,
  icmp6: 29,
} as const;

/**
 * After defragmentation (-400); before raw (-300), conntrack (-200), kube-proxy's DNAT (-110) and every other
 * DNAT (-100).
 */
export const PREROUTING_PRIORITY = -310;
/** After conntrack, before every DNAT: here answers to connections from a VIP can be told from probes. */
export const EGRESS_PRIORITY = -190;
/** After every DNAT, and after IPVS, which takes its packets at LOCAL_IN priorities 98-100. */
export const INPUT_PRIORITY = 150;
/** NF_IP_PRI_FILTER: any would do, as the source is translated later. */
export const OUTPUT_PRIORITY = 0;
