// `vipward explain`: the verdict on one packet, from the agent of this node.

import { UsageError } from '../process/usage.ts';
import { type Address, AddressError, familyOf, parseAddress } from '../state/address.ts';
import { type Answer, RefusedError } from './answer.ts';
import { ask } from './client.ts';
import { type Flags, outputOf, type Surroundings, serverOf } from './settings.ts';
import type { Shaped } from './shape.ts';
import { plain } from './table.ts';

export interface Target {
  readonly address: Address;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
}

const cannotTell = 2;

/** An agent's verdict. */
export const explanation = {
  verdict: 'text',
  'rule|null': 'text',
  reason: 'text',
  services: ['text'],
  foreign: [
    { family: 'text', table: 'text', chain: 'text', hook: 'text', priority: 'number', policy: 'text' },
  ],
} as const;
export type Explanation = Shaped<typeof explanation>;

/** Prints the verdict. Exit code 0 accept, 1 drop, 2 cannot tell. */
export async function runExplain(
  text: string,
  flags: Flags & { readonly from?: string },
  around: Surroundings,
): Promise<number> {
  const target = parseTarget(text);
  const output = outputOf(flags, around.env);
  const from = flags.from === undefined ? undefined : addressOf(flags.from, '--from');
  if (from !== undefined && familyOf(from) !== familyOf(target.address)) {
    throw new UsageError(`--from ${from}: expected the same family as ${target.address}`);
  }
  const path = explainPath(target, from);
  let answer: Answer<Explanation>;
  try {
    answer = await ask(serverOf('agent', flags, around), { method: 'GET', path, shape: explanation });
  } catch (error) {
    // A refusal by the agent is no verdict on the packet.
    if (error instanceof RefusedError) throw new RefusedError(error.message, cannotTell);
    throw error;
  }
  const { verdict, rule, reason, services, foreign } = answer.json;
  if (verdict !== 'accept' && verdict !== 'drop') {
    throw new RefusedError(`the agent cannot tell: ${plain(reason)}`, cannotTell);
  }
  if (output === 'json') around.out.write(answer.text);
  else {
    const lines = [`${verdict}: ${plain(reason)}`, `rule: ${plain(rule)}`];
    if (services.length > 0) lines.push(`services: ${services.map(plain).join(', ')}`);
    for (const { family, table, chain, hook, priority, policy } of foreign) {
      lines.push(
        [
          `foreign: ${plain(family)} ${plain(table)} ${plain(chain)}`,
          `(${plain(hook)} ${priority}, policy ${plain(policy)})`,
        ].join(' '),
      );
    }
    around.out.write(`${lines.join('\n')}\n`);
  }
  return verdict === 'accept' ? 0 : 1;
}

export function explainPath({ address, port, protocol }: Target, from?: Address): string {
  const query = new URLSearchParams({ address, port: String(port), protocol });
  if (from !== undefined) query.set('from', from);
  return `/explain?${query}`;
}

/** Parses `ADDRESS:PORT[/tcp|/udp|/sctp]`, IPv6 in brackets. Throws UsageError. */
export function parseTarget(text: string): Target {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new UsageError(
      `expected IP:PORT as 10.0.0.10:443, 10.0.0.10:53/udp or [fd00::10]:80, got ${JSON.stringify(text)}`,
    );
  }
  const address = addressOf(match[1] ?? match[2] ?? '', text);
  const protocol = (match[4] ?? 'tcp').toUpperCase() as Target['protocol'];
  return { address, port, protocol };
}

export function addressOf(text: string, where: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new UsageError(`${where}: ${error.message}`, { cause: error });
  }
}
