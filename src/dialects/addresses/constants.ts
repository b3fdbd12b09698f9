// The numbers of rtnetlink (linux/rtnetlink.h, if_addr.h, if_link.h) and of address resolution, and the marks
// of our addresses.

export const AF_UNSPEC = 0;

export const Message = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  GETROUTE: 26,
} as const;

export const AddressAttribute = {
  ADDRESS: 1,
  LOCAL: 2,
  CACHEINFO: 6,
  FLAGS: 8,
  RT_PRIORITY: 9,
  PROTO: 11,
} as const;
export const LinkAttribute = {
  ADDRESS: 1,
  IFNAME: 3,
  MASTER: 10,
  WIRELESS: 11,
  LINKINFO: 18,
  AF_SPEC: 26,
} as const;
export const LinkInfoAttribute = { KIND: 1 } as const;
/** Within AF_SPEC, in the nest of a family. CONF begins with the value of `forwarding` (linux/ipv6.h). */
export const LinkInet6Attribute = { CONF: 2 } as const;
export const RouteAttribute = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PREFSRC: 7,
  MULTIPATH: 9,
  VIA: 18,
} as const;
/** The kernel answers with the matching route as configured, with all its next hops. */
export const RTM_F_FIB_MATCH = 0x2000;
/** The gateway is not that of the route: an ICMP redirect has named it (linux/in_route.h). */
export const RTCF_REDIRECTED = 0x0004_0000;

export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_NOPREFIXROUTE = 0x200;
export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_LOWER_UP = 0x10000;

export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_HOST = 254;
export const INFINITY_LIFE_TIME = 0xffffffff;

/** linux/if_ether.h, linux/in6.h and RFC 4861. */
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPV6 = 0x86dd;
export const IPPROTO_ICMPV6 = 58;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
export const TARGET_LINK_LAYER_ADDRESS = 2;

/** Our IFA_PROTO; kernels since 5.18 store it. */
export const addressProtocol = 0x76;
/**
 * Our IFA_RT_PRIORITY, which every kernel stores. The metric has no effect, since the address has no prefix
 * route. The bytes are "vipw".
 */
export const addressPriority = 0x76697077;
