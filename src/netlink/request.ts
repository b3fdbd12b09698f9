// A single request to the kernel: a question, or a dump.

import { NLM_F_REQUEST } from './message.ts';
import { Writer } from './writer.ts';

/** One message with the sequence number 1, and `flags` besides NLM_F_REQUEST. */
export function request(type: number, flags: number, body: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(64);
  const place = writer.beginMessage(type, NLM_F_REQUEST | flags, 1);
  body(writer);
  writer.endMessage(place);
  return writer.bytes.slice();
}
