// `vipward status --would-drop`: packets that an observing agent let through and would drop if it enforced.

import { ask } from './client.ts';
import { type Flags, type Output, type Surroundings, serverOf } from './settings.ts';
import type { Shaped } from './shape.ts';
import { plain, table } from './table.ts';

const report = {
  filter: 'text',
  capacity: 'number',
  full: 'flag',
  samples: [
    { vip: 'text', source: 'text', protocol: 'text', port: 'number', packets: 'number', lastSeen: 'text' },
  ],
} as const;

export async function wouldDropText(flags: Flags, output: Output, around: Surroundings): Promise<string> {
  const question = { method: 'GET', path: '/would-drop', shape: report } as const;
  const answer = await ask(serverOf('agent', flags, around), question);
  return output === 'json' ? answer.text : samplesText(answer.json);
}

function samplesText({ filter, capacity, full, samples }: Shaped<typeof report>): string {
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
