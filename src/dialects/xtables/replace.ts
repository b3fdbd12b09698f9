// A rewritten table for setsockopt: struct ipt_replace followed by the entries.

import { REPLACE_BYTES } from './constants.ts';
import type { Edited } from './edit.ts';

/**
 * `num_counters` is the number of entries of the old table: the kernel returns their counters, and refuses
 * the table with EAGAIN if another program has changed that number.
 */
export function replaceBytes(table: string, edited: Edited, oldEntryCount: number): Uint8Array {
  const bytes = new Uint8Array(REPLACE_BYTES + edited.entries.length);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < table.length; index++) bytes[index] = table.charCodeAt(index);
  view.setUint32(32, edited.validHooks, true);
  view.setUint32(36, edited.entryCount, true);
  view.setUint32(40, edited.entries.length, true);
  for (const [hook, offset] of edited.hookEntry.entries()) view.setUint32(44 + hook * 4, offset, true);
  for (const [hook, offset] of edited.underflow.entries()) view.setUint32(64 + hook * 4, offset, true);
  view.setUint32(84, oldEntryCount, true);
  bytes.set(edited.entries, REPLACE_BYTES);
  return bytes;
}
