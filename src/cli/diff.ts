// `vipward diff`: the kernel's objects against the wanted ones, as read by the agent of this node.

import { type Answer, NoAnswerError, RefusedError } from './answer.ts';
import { ask, type Server } from './client.ts';
import { type Flags, outputOf, type Surroundings, serverOf } from './settings.ts';
import type { Shaped } from './shape.ts';
import { plain } from './table.ts';

const differences = { differs: 'flag', remove: ['text'], add: ['text'] } as const;

/** Prints the objects to remove and to add. Exit code 1 if there are any. */
export async function runDiff(flags: Flags, around: Surroundings): Promise<number> {
  const output = outputOf(flags, around.env);
  const answer = await compared(serverOf('agent', flags, around));
  const { differs, remove, add } = answer.json;
  if (output === 'json') around.out.write(answer.text);
  else if (differs) {
    const lines = [...remove.map((text) => `- ${plain(text)}`), ...add.map((text) => `+ ${plain(text)}`)];
    around.out.write(`${lines.join('\n')}\n`);
  } else around.out.write('the kernel has what it should have\n');
  return differs ? 1 : 0;
}

/** A refusal here is no comparison, so it must not have exit code 1, which stands for a difference. */
async function compared(server: Server): Promise<Answer<Shaped<typeof differences>>> {
  try {
    return await ask(server, { method: 'GET', path: '/diff', shape: differences });
  } catch (error) {
    if (error instanceof RefusedError) throw new NoAnswerError(error.message, { cause: error });
    throw error;
  }
}
