// The kernel's answer to a transaction: its errors in its own words, each with the object it concerns.

import { Errno, errnoName, errnoWords, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR } from './message.ts';
import { attributesOf, type Message, messagesOf, textOf, u16, u32 } from './reader.ts';

/**
 * One message of a step. If the kernel reports an offset in it, the object is the one at `(offset - first) /
 * stride`. With stride 0 each object has a message of its own, and `sequence` is that of the first.
 */
export interface MessageRecord<O> {
  readonly sequence: number;
  readonly objects: readonly O[];
  readonly first: number;
  readonly stride: number;
}

/**
 * The bytes of one send. The bytes after `split` go out in a second send, as a barrier whose reply proves
 * that the kernel processed the first.
 */
export interface Step<O> {
  readonly bytes: Uint8Array;
  readonly split: number;
  /** The second send follows only if the first drew no reply; for a subsystem that replies only errors. */
  readonly halved?: boolean;
  /** The sequence number of the message whose reply proves that the kernel processed the whole step. */
  readonly barrier: number;
  readonly records: readonly MessageRecord<O>[];
}

/** An object that the kernel refused; null if the error names none, as for a step that was not processed. */
export interface Refused<O> {
  readonly object: O | null;
  readonly errno: number;
  readonly words: string;
}

/** Empty if everything is committed. Through nfnetlink, one refusal means that nothing of the step is. */
export type Receipt<O> = readonly Refused<O>[];

/** NLMSGERR_ATTR_MSG and NLMSGERR_ATTR_OFFS of linux/netlink.h. */
const attributeMessage = 1;
const attributeOffset = 2;

/**
 * Reads the replies to one step. Only the barrier's reply proves a commit; an ack does not. Throws
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
    const record = step.records.findLast(({ sequence }) => sequence <= message.sequence);
    refused.push({ object: objectAt(record, message.sequence, offset), errno, words });
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

/** For nearly every step the barrier's reply is the only reply. */
function isOnlyBarrier({ barrier }: Step<unknown>, replies: Uint8Array): boolean {
  return (
    u32(replies) === replies.length &&
    u16(replies, 4) !== NLMSG_ERROR &&
    u32(replies, 8) === barrier &&
    replies.length >= 16
  );
}

/** The errno of an error reply; 0 for other replies. */
export function errnoOf(message: Message): number {
  return message.type === NLMSG_ERROR ? -(u32(message.payload) | 0) : 0;
}

/** The first errno in a reply; 0 if it has none. */
export function firstErrno(reply: Uint8Array): number {
  return [...messagesOf(reply)].map(errnoOf).find((errno) => errno !== 0) ?? 0;
}

/** `ENFILE: Too many open files in system (of a set: it is full)`. */
export function describeErrno(errno: number, words: string = errnoWords[errno] ?? ''): string {
  return words === '' ? errnoName(errno) : `${errnoName(errno)}: ${words}`;
}

function objectAt<O>(record: MessageRecord<O> | undefined, number: number, offset: number): O | null {
  if (record === undefined) return null;
  const { sequence, objects, first, stride } = record;
  if (stride === 0) return objects[number - sequence] ?? null;
  if (number !== sequence) return null;
  return objects[objects.length === 1 ? 0 : Math.floor((offset - first) / stride)] ?? null;
}

/**
 * struct nlmsgerr: the negative errno, the request's header, the request itself unless capped, attributes.
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
