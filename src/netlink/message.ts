// The constants of linux/netlink.h and linux/netfilter/nfnetlink.h that are the same for every subsystem.

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** On a delete request: do not take what is inside along. */
export const NLM_F_NONREC = 0x100;
/** On an error message: the request is not echoed, and attributes follow. */
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export const SOL_NETLINK = 270;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;

export const EPERM = 1;
export const EAFNOSUPPORT = 97;
/** What get- and setsockopt answer where nobody serves the option. */
export const ENOPROTOOPT = 92;

/** Errors by number (asm-generic/errno.h) that this project names to its users. */
export const errnoNames: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  4: 'EINTR',
  7: 'E2BIG',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  22: 'EINVAL',
  23: 'ENFILE',
  28: 'ENOSPC',
  34: 'ERANGE',
  85: 'ERESTART',
  90: 'EMSGSIZE',
  92: 'ENOPROTOOPT',
  93: 'EPROTONOSUPPORT',
  95: 'EOPNOTSUPP',
  97: 'EAFNOSUPPORT',
  99: 'EADDRNOTAVAIL',
  105: 'ENOBUFS',
  // Of ipset alone (linux/netfilter/ipset/ip_set.h, ip_set_hash.h).
  4098: 'IPSET_ERR_FIND_TYPE',
  4100: 'IPSET_ERR_BUSY',
  4102: 'IPSET_ERR_TYPE_MISMATCH',
  4352: 'IPSET_ERR_HASH_FULL',
};

/** What an errno means in the words of libc, for kernels that send no words of their own. */
export const errnoWords: Readonly<Record<number, string>> = {
  1: 'Operation not permitted',
  2: 'No such file or directory',
  4: 'Interrupted system call',
  12: 'Out of memory',
  13: 'Permission denied',
  16: 'Device or resource busy',
  17: 'File exists',
  19: 'No such device',
  22: 'Invalid argument',
  23: 'Too many open files in system (of a set: it is full)',
  28: 'No space left on device',
  85: 'Interrupted system call should be restarted',
  90: 'Message too long',
  93: 'Protocol not supported',
  95: 'Operation not supported',
  97: 'Address family not supported',
  99: 'Cannot assign requested address',
  105: 'No buffer space available',
  4098: 'No such type of set, or no such revision of it',
  4102: 'The sets are not of one type',
  4352: 'The set is full',
};

export function errnoName(errno: number): string {
  return errnoNames[errno] ?? `errno ${errno}`;
}
