// The status as text, made as it is sent: with many VIPs it is megabytes, and agents are not to wait for it.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { headOf, type StatusInput, statusLists } from './status.ts';

/** A piece of so many characters takes about a millisecond. */
const pieceLength = 32 * 1024;

/** What JSON.stringify would make of `statusOf`, two spaces a level. Each entry is as it is in its turn. */
export async function* statusText(input: StatusInput): AsyncGenerator<string, void> {
  let piece = membersOf(headOf(input));
  for (const [name, entries] of Object.entries(statusLists(input))) {
    let before = `,\n  "${name}": [`;
    for (const entry of entries) {
      piece += `${before}\n    ${JSON.stringify(entry, null, 2).replaceAll('\n', '\n    ')}`;
      before = ',';
      if (piece.length < pieceLength) continue;
      yield piece;
      piece = '';
      await nextTurn();
    }
    piece += before === ',' ? '\n  ]' : `${before}]`;
  }
  yield `${piece}\n}\n`;
}

/** An object as text, still open for more members. */
function membersOf(head: object): string {
  return JSON.stringify(head, null, 2).slice(0, -'\n}'.length);
}
