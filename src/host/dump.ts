// Tells how a dump ended. Only a whole dump of one kernel state shows what exists and what does not.

import { Errno, NFNL_SUBSYS_NFTABLES, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from '../netlink/message.ts';
import { messagesOf, u16Be, u32 } from '../netlink/reader.ts';

export type DumpEnd = 'whole' | 'torn' | number;

/**
 * `torn` if the kernel changed during the dump, or if the end is missing; otherwise `whole`, or the positive
 * errno of a refusal. Rules, chains, links and addresses flag a change, elements do not: but each nf_tables
 * message has the low 16 bits of the generation it was read in. Throws NetlinkError.
 */
export function endOfDump(answer: Uint8Array): DumpEnd {
  let generation: number | undefined;
  let end: DumpEnd = 'torn';
  let isTorn = false;
  for (const { type, flags, payload } of messagesOf(answer)) {
    // Error messages define flags of their own.
    if (type !== NLMSG_ERROR && (flags & NLM_F_DUMP_INTR) !== 0) isTorn = true;
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      const errno = -(u32(payload) | 0);
      // Both begin with an errno. ENOENT is an answer: the requested object does not exist.
      if (errno > 0 && errno !== Errno.ENOENT) return errno;
      end = 'whole';
    }
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    const read = u16Be(payload, 2);
    if (generation !== undefined && read !== generation) isTorn = true;
    generation = read;
  }
  return isTorn ? 'torn' : end;
}
