// Whether a thread of the addon is at rest, by /proc.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../patience.ts';

export type ThreadName = 'vipward-reader' | 'vipward-writer';

/** Much longer than any round of a loop. */
const lookAgainMs = 200;

/** Waits until a thread sleeps and nothing wakes it for a while: one that spins never does. */
export async function standsStill(name: ThreadName): Promise<void> {
  await until(`${name} stands still`, async () => {
    const before = standing(name);
    await sleep(lookAgainMs);
    return before.startsWith('S') && standing(name) === before;
  });
}

/** Its state, and how often it has left a processor. */
function standing(name: ThreadName): string {
  const folder = '/proc/self/task';
  const thread = readdirSync(folder).find(
    (id) => readFileSync(`${folder}/${id}/comm`, 'utf8') === `${name}\n`,
  );
  const status = readFileSync(`${folder}/${thread}/status`, 'utf8');
  const [, state = ''] = /^State:\t(\w)/m.exec(status) ?? [];
  return `${state} ${status.match(/^(non)?voluntary_ctxt_switches:\t\d+$/gm)?.join(' ')}`;
}
