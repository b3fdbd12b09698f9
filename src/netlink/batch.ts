// The nfnetlink batch: BEGIN, messages, END. The kernel commits or refuses it as a whole.

import { NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NLM_F_REQUEST } from './message.ts';
import type { Writer } from './writer.ts';

/** struct nfgenmsg: family, version 0, and a resource id in network order. */
export function nfgenmsg(writer: Writer, family: number, resourceId = 0): void {
  writer.u8(family);
  writer.u8(0);
  writer.u16Be(resourceId);
}

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
