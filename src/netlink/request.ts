// Requests: a single message, and the nfnetlink batch, which the kernel commits or refuses as a whole.

import { NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NLM_F_REQUEST } from './message.ts';
import { Writer } from './writer.ts';

/** A single message with the sequence number 1, and `flags` besides NLM_F_REQUEST. */
export function request(type: number, flags: number, body: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(64);
  const place = writer.beginMessage(type, NLM_F_REQUEST | flags, 1);
  body(writer);
  writer.endMessage(place);
  return writer.bytes.slice();
}

/** struct nfgenmsg: family, version 0, and a resource id in network order. */
export function nfgenmsg(writer: Writer, family: number, resourceId = 0): void {
  writer.u8(family);
  writer.u8(0);
  writer.u16Be(resourceId);
}

/** Opens a batch: BEGIN, messages, END. */
export function beginBatch(writer: Writer, sequence: number): void {
  frame(writer, NFNL_MSG_BATCH_BEGIN, sequence);
}

export function endBatch(writer: Writer, sequence: number): void {
  frame(writer, NFNL_MSG_BATCH_END, sequence);
}

function frame(writer: Writer, type: number, sequence: number): void {
  const place = writer.beginMessage(type, NLM_F_REQUEST, sequence);
  nfgenmsg(writer, 0, NFNL_SUBSYS_NFTABLES);
  writer.endMessage(place);
}
