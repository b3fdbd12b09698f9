// `vipward move`, `drain` and `undrain`: an operator's orders to a controller. Each returns once it is done.

import { UsageError } from '../process/usage.ts';
import { ask } from './client.ts';
import { addressOf } from './explain.ts';
import { type Flags, outputOf, type Surroundings, serverOf } from './settings.ts';
import type { Shaped } from './shape.ts';
import { plain } from './table.ts';

/** The answer to a move has `from`, and that to a drain `moved`. */
const done = { node: 'text', 'from?|null': 'text', 'moved?': 'number' } as const;

export async function runMove(
  { vip, node }: { readonly vip: string; readonly node: string },
  flags: Flags,
  around: Surroundings,
): Promise<number> {
  const body = { vip: addressOf(vip, 'VIP'), node: nodeName(node) };
  const { from } = await post('move', body, flags, around);
  if (isJson(flags, around)) return 0;
  around.out.write(
    from === node
      ? `${body.vip} is on ${node} already\n`
      : `${body.vip} moved to ${node}${from === null || from === undefined ? '' : ` from ${plain(from)}`}\n`,
  );
  return 0;
}

export async function runDrain(
  { verb, node }: { readonly verb: 'drain' | 'undrain'; readonly node: string },
  flags: Flags,
  around: Surroundings,
): Promise<number> {
  const { moved } = await post(verb, { node: nodeName(node) }, flags, around);
  if (isJson(flags, around)) return 0;
  const vips = moved === 1 ? '1 VIP' : `${moved ?? 0} VIPs`;
  around.out.write(
    verb === 'drain' ? `${node} is drained: ${vips} moved\n` : `${node} may have VIPs again\n`,
  );
  return 0;
}

async function post(
  verb: string,
  body: object,
  flags: Flags,
  around: Surroundings,
): Promise<Shaped<typeof done>> {
  const isRaw = isJson(flags, around);
  const server = serverOf('controller', flags, around);
  const answer = await ask(server, { method: 'POST', path: `/api/v1/${verb}`, body, shape: done });
  if (isRaw) around.out.write(answer.text);
  return answer.json;
}

function isJson(flags: Flags, { env }: Surroundings): boolean {
  return outputOf(flags, env) === 'json';
}

function nodeName(text: string): string {
  if (text !== '' && text.length <= 253) return text;
  throw new UsageError(`NODE: expected the name of a node, got ${JSON.stringify(text.slice(0, 40))}`);
}
