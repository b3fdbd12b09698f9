// The status as text, made in turns: with many VIPs it is megabytes, and agents are not to wait for it.

import { headOf, type StatusInput, statusLists } from './status.ts';
import { inTurns } from './turns.ts';

/** What JSON.stringify would make of `statusOf`, two spaces a level. Each entry is as it is in its turn. */
export async function statusText(input: StatusInput): Promise<string> {
  const parts = [membersOf(headOf(input))];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  function* steps(): Generator<void, void> {
    try {
      for (const [name, entries] of Object.entries(statusLists(input))) {
        let before = `,\n  "${name}": [`;
        for (const entry of entries) {
          parts.push(`${before}\n    ${JSON.stringify(entry, null, 2).replaceAll('\n', '\n    ')}`);
          before = ',';
          yield;
        }
        parts.push(before === ',' ? '\n  ]' : `${before}]`);
      }
    } catch (error) {
      reject(error);
    }
  }
  inTurns(steps(), { done: resolve });
  await promise;
  return `${parts.join('')}\n}\n`;
}

/** An object as text, still open for more members. */
function membersOf(head: object): string {
  return JSON.stringify(head, null, 2).slice(0, -'\n}'.length);
}
