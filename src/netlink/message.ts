// The constants of linux/netlink.h and linux/netfilter/nfnetlink.h that are the same for every subsystem.

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** On a delete request: fail if the object still contains others. */
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

/** Errors by name (asm-generic/errno-base.h and errno.h, and ERESTART of linux/errno.h). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  E2BIG: 7,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  ENOSPC: 28,
  ERANGE: 34,
  ERESTART: 85,
  EMSGSIZE: 90,
  /** The errno of getsockopt and setsockopt for an unknown option. */
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRNOTAVAIL: 99,
  ENOBUFS: 105,
  // ipset only (linux/netfilter/ipset/ip_set.h, ip_set_hash.h).
  IPSET_ERR_FIND_TYPE: 4098,
  IPSET_ERR_BUSY: 4100,
  IPSET_ERR_TYPE_MISMATCH: 4102,
  IPSET_ERR_HASH_FULL: 4352,
} as const;

const errnoNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Errno).map(([name, errno]) => [errno, name]),
);

/** libc's text for each errno, for kernels that send no text of their own. */
export const errnoWords: Readonly<Record<number, string>> = {
  [Errno.EPERM]: 'Operation not permitted',
  [Errno.ENOENT]: 'No such file or directory',
  [Errno.EINTR]: 'Interrupted system call',
  [Errno.ENOMEM]: 'Out of memory',
  [Errno.EACCES]: 'Permission denied',
  [Errno.EBUSY]: 'Device or resource busy',
  [Errno.EEXIST]: 'File exists',
  [Errno.ENODEV]: 'No such device',
  [Errno.EINVAL]: 'Invalid argument',
  [Errno.ENFILE]: 'Too many open files in system (of a set: it is full)',
  [Errno.ENOSPC]: 'No space left on device',
  [Errno.ERESTART]: 'Interrupted system call should be restarted',
  [Errno.EMSGSIZE]: 'Message too long',
  [Errno.EPROTONOSUPPORT]: 'Protocol not supported',
  [Errno.EOPNOTSUPP]: 'Operation not supported',
  [Errno.EAFNOSUPPORT]: 'Address family not supported',
  [Errno.EADDRNOTAVAIL]: 'Cannot assign requested address',
  [Errno.ENOBUFS]: 'No buffer space available',
  [Errno.IPSET_ERR_BUSY]: 'The set is in use, or a process reads it',
  [Errno.IPSET_ERR_FIND_TYPE]: 'No such type of set, or no such revision of it',
  [Errno.IPSET_ERR_TYPE_MISMATCH]: 'The sets are not of one type',
  [Errno.IPSET_ERR_HASH_FULL]: 'The set is full',
};

export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}
