// What the kernel answered to a transaction: its errors, each with the object it is about, in the kernel's
// own words.

import { Errno, errnoName, errnoWords, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR } from './message.ts';
import { attributesOf, type Message, messagesOf, textOf, u16, u32 } from './reader.ts';

/**
 * One message of a step. If the kernel names a place in it, the object is the one at `(place - first) /
 * stride`; a message about one object has a stride of 0.
 */
export interface MessageRecord<O> {
  readonly sequence: number;
  readonly objects: readonly O[];
  readonly first: number;
  readonly stride: number;
}

/**
 * What is sent at once. Bytes behind `split` go out in a second send, as a barrier whose reply proves the
 * first.
 */
export interface Step<O> {
  readonly bytes: Uint8Array;
  readonly split: number;
  /** The second send only follows if the first drew no answer: of what answers nothing but errors. */
  readonly halved?: boolean;
  /** The sequence number of the message whose reply proves that the whole step was processed. */
  readonly barrier: number;
  readonly records: readonly MessageRecord<O>[];
}

/** An object the kernel would not take; null where it named none, as for a step it did not process at all. */
export interface Refused<O> {
  readonly object: O | null;
  readonly errno: number;
  readonly words: string;
}

/** Empty: everything is committed. Through nfnetlink any refusal means that nothing of the step is. */
export type Receipt<O> = readonly Refused<O>[];

/** NLMSGERR_ATTR_MSG and NLMSGERR_ATTR_OFFS of linux/netlink.h. */
const attributeMessage = 1;
const attributeOffset = 2;

/**
 * Reads the replies to one step. An acknowledgement is no commit: only the barrier's reply is. Throws
 * NetlinkError.
 */
export function receiptOf<O>(step: Step<O>, replies: Uint8Array): Receipt<O> {
  if (isOnlyBarrier(step, replies)) return allCommitted;
  const refused: Refused<O>[] = [];
  let processed = false;
  for (const message of messagesOf(replies)) {
    if (message.sequence === step.barrier) processed = true;
    if (message.type !== NLMSG_ERROR || u32(message.payload) === 0) continue;
    const { errno, offset, words } = readError(message);
    const record = step.records.find(({ sequence }) => sequence === message.sequence);
    refused.push({ object: objectAt(record, offset), errno, words });
  }
  if (!processed && refused.length === 0) {
    refused.push({
      object: null,
      errno: Errno.ENOBUFS,
      words: 'the kernel did not answer the whole transaction',
    });
  }
  return refused;
}

const allCommitted: Receipt<never> = [];

/** Nearly every step is answered by nothing but the barrier's reply. */
function isOnlyBarrier({ barrier }: Step<unknown>, replies: Uint8Array): boolean {
  return (
    u32(replies) === replies.length &&
    u16(replies, 4) !== NLMSG_ERROR &&
    u32(replies, 8) === barrier &&
    replies.length >= 16
  );
}

/** The errno of a reply that is an error, 0 of any other. */
export function errnoOf(message: Message): number {
  return message.type === NLMSG_ERROR ? -(u32(message.payload) | 0) : 0;
}

/** `ENFILE: Too many open files in system (of a set: it is full)`. */
export function describeErrno(errno: number, words: string = errnoWords[errno] ?? ''): string {
  return words === '' ? errnoName(errno) : `${errnoName(errno)}: ${words}`;
}

function objectAt<O>(record: MessageRecord<O> | undefined, offset: number): O | null {
  if (record === undefined) return null;
  const { objects, first, stride } = record;
  return objects[objects.length === 1 ? 0 : Math.floor((offset - first) / stride)] ?? null;
}

/**
 * struct nlmsgerr: the negative errno, the header of the request, the request itself unless capped, then
 * attributes.
 */
function readError({ payload, flags }: Message): { errno: number; offset: number; words: string } {
  const errno = -(u32(payload) | 0);
  let offset = -1;
  let words = errnoWords[errno] ?? '';
  if ((flags & NLM_F_ACK_TLVS) !== 0) {
    const echoed = (flags & NLM_F_CAPPED) !== 0 ? 16 : u32(payload, 4);
    const attributes = attributesOf(payload, 4 + ((echoed + 3) & ~3));
    const text = attributes.get(attributeMessage);
    const place = attributes.get(attributeOffset);
    if (text !== undefined) words = textOf(text);
    if (place !== undefined) offset = u32(place);
  }
  return { errno, offset, words };
}
