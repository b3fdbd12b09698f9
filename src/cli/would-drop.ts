// `vipward status --would-drop`: what an agent that observes let through and would drop if it enforced.

import type { WouldDropReport } from '../agent/would-drop.ts';
import { ask } from './client.ts';
import { type Flags, outputOf, type Surroundings, serverOf } from './settings.ts';
import { plain, table } from './table.ts';

export async function runWouldDrop(flags: Flags, around: Surroundings): Promise<number> {
  const output = outputOf(flags, around.env);
  const server = serverOf('agent', flags, around);
  const answer = await ask(server, { method: 'GET', path: '/would-drop' });
  if (output === 'json') around.out.write(answer.text.endsWith('\n') ? answer.text : `${answer.text}\n`);
  else around.out.write(samplesText(answer.json as WouldDropReport));
  return 0;
}

function samplesText({ filter, capacity, full, samples }: WouldDropReport): string {
  if (filter !== 'observe') {
    return 'this agent enforces: nothing is sampled; start it with --filter observe\n';
  }
  if (capacity === 0) return 'this firewall takes no samples; DROPPED of status counts by VIP\n';
  const rows = samples.map(({ vip, source, protocol, port, packets, lastSeen }) =>
    [vip, source, protocol, port === 0 ? '-' : port, packets, lastSeen].map(plain),
  );
  const more = full ? `\nonly ${capacity} samples of a family are kept; DROPPED of status counts all\n` : '';
  return `${table(['VIP', 'SOURCE', 'PROTOCOL', 'PORT', 'PACKETS', 'LAST SEEN'], rows)}${more}`;
}
