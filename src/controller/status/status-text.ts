// Makes the text of the status while it is sent: with many VIPs it is megabytes, and agents must not wait for
// it.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { headOf, type StatusInput, statusLists } from './status.ts';

/** Characters per piece, which takes about a millisecond to make. */
const pieceLength = 32 * 1024;

/**
 * Yields what JSON.stringify would make of `statusOf`, indented by two spaces. An entry is as of the time it
 * is made.
 */
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

/** An object as JSON without its closing brace, so that members can follow. */
function membersOf(head: object): string {
  return JSON.stringify(head, null, 2).slice(0, -'\n}'.length);
}
