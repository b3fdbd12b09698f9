// How a dump ended: only one that was read whole, of one state of the kernel, says what is there and what is
// not.

import { errnoOf } from '../netlink/ack.ts';
import { Errno, NFNL_SUBSYS_NFTABLES, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from '../netlink/message.ts';
import { messagesOf, u16Be, u32 } from '../netlink/reader.ts';

/** Messages of a subsystem; those below are netlink's own. */
const firstType = 16;

export type DumpEnd = 'whole' | 'torn' | number;

/**
 * `torn` if the kernel changed while it was read, or the end is missing; else a positive errno if it was
 * refused. Rules, chains, links and addresses say by a flag that they changed, elements never do: but each
 * message of nf_tables carries the low 16 bits of the generation it was read in. Throws NetlinkError.
 */
export function endOfDump(answer: Uint8Array): DumpEnd {
  let generation: number | undefined;
  let end: DumpEnd = 'torn';
  let isTorn = false;
  for (const message of messagesOf(answer)) {
    const { type, flags, payload } = message;
    // The flags of an error are others in the same place.
    if (type !== NLMSG_ERROR && (flags & NLM_F_DUMP_INTR) !== 0) isTorn = true;
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      const errno = type === NLMSG_ERROR ? errnoOf(message) : -(u32(payload) | 0);
      // What was asked for is not there, which is an answer.
      if (errno > 0 && errno !== Errno.ENOENT) return errno;
      end = 'whole';
    }
    if (type < firstType || type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    const read = u16Be(payload, 2);
    if (generation !== undefined && read !== generation) isTorn = true;
    generation = read;
  }
  return isTorn ? 'torn' : end;
}
