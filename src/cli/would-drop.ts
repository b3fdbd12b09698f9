// `vipward status --would-drop`: packets that an observing agent let through and would drop if it enforced.

import type { WouldDropReport } from '../agent/answers/would-drop.ts';
import { ask } from './client.ts';
import { type Flags, type Output, type Surroundings, serverOf } from './settings.ts';
import { plain, table } from './table.ts';

export async function wouldDropText(flags: Flags, output: Output, around: Surroundings): Promise<string> {
  const answer = await ask(serverOf('agent', flags, around), { method: 'GET', path: '/would-drop' });
  return output === 'json' ? answer.text : samplesText(answer.json as WouldDropReport);
}

function samplesText({ filter, capacity, full, samples }: WouldDropReport): string {
  if (filter !== 'observe') {
    return 'this agent drops packets and takes no samples; start it with --filter observe\n';
  }
  const rows = samples.map(({ vip, source, protocol, port, packets, lastSeen }) =>
    [vip, source, protocol, port === 0 ? '-' : port, packets, lastSeen].map(plain),
  );
  const more = full
    ? `\nonly ${capacity} samples of a family are kept; see all counts under WOULD DROP of status\n`
    : '';
  return `${table(['VIP', 'SOURCE', 'PROTOCOL', 'PORT', 'PACKETS', 'LAST SEEN'], rows)}${more}`;
}
