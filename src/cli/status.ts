// `vipward status`: the status of a controller or an agent, as tables or as its JSON.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, ask, NoAnswerError, RefusedError, type Server } from './client.ts';
import { chosenRole, type Flags, type Output, outputOf, type Surroundings, serverOf } from './settings.ts';
import type { AgentStatus, Beside, ControllerStatus } from './status-json.ts';
import { agentText, controllerText } from './status-text.ts';
import { wouldDropText } from './would-drop.ts';

const watchIntervalMs = 1000;
/**
 * The agent on this machine adds counters to the table; a missing agent must not delay it for long. An agent
 * with 10,000 VIPs needs 0.2 s of processor time, which a busy machine may not give it at once.
 */
const besideTimeoutMs = 3000;

export async function runStatus(
  flags: Flags & { readonly watch?: boolean; readonly wouldDrop?: boolean },
  around: Surroundings,
): Promise<number> {
  const output = outputOf(flags, around.env);
  const textOf = flags.wouldDrop === true ? wouldDropText : statusText;
  if (flags.watch !== true) {
    around.out.write(await textOf(flags, output, around));
    return 0;
  }
  const { out, err, gone = new AbortController().signal } = around;
  // Only tables on a terminal are redrawn; a file or another program gets plain text.
  const begin = out.isTTY === true && output !== 'json' ? '\u001b[H\u001b[2J' : '';
  while (!gone.aborted) {
    try {
      const text = await textOf(flags, output, around);
      out.write(begin + text);
    } catch (error) {
      if (!(error instanceof NoAnswerError || error instanceof RefusedError)) throw error;
      if (begin !== '') out.write(begin);
      err.write(`vipward status: ${error.message}\n`);
    }
    await sleep(watchIntervalMs, undefined, { signal: gone }).catch(() => undefined);
  }
  return 0;
}

async function statusText(flags: Flags, output: Output, around: Surroundings): Promise<string> {
  const { role, answer } = await find(flags, around);
  if (output === 'json') return answer.text;
  if (role === 'agent') return agentText(answer.json as AgentStatus, output);
  const beside = await agentBeside(flags, around);
  return controllerText(answer.json as ControllerStatus, output, beside);
}

/** The named server; by default the controller of this machine, or else its agent. */
async function find(flags: Flags, around: Surroundings): Promise<{ role: Server['role']; answer: Answer }> {
  const role = chosenRole(flags, around.env);
  const of = (chosen: Server['role']) => askStatus(serverOf(chosen, flags, around));
  if (role !== undefined) return { role, answer: await of(role) };
  try {
    return { role: 'controller', answer: await of('controller') };
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    return await of('agent').then(
      (answer) => ({ role: 'agent', answer }),
      (other: unknown) => {
        if (!(other instanceof NoAnswerError)) throw error;
        throw new NoAnswerError(`${error.message}; ${other.message}`, { cause: other });
      },
    );
  }
}

async function askStatus(server: Server): Promise<Answer> {
  const path = server.role === 'controller' ? '/api/v1/status' : '/status';
  const answer = await ask(server, { method: 'GET', path });
  const { vips } = answer.json as { readonly vips?: unknown };
  if (Array.isArray(vips)) return answer;
  const where = server.origins.map((origin) => origin.origin).join(', ');
  throw new NoAnswerError(`${where} answered ${path}, but without vips: it is not a vipward ${server.role}`);
}

async function agentBeside(flags: Flags, around: Surroundings): Promise<Beside | null> {
  try {
    const server = serverOf('agent', { ...flags, timeout: `${besideTimeoutMs}ms` }, around);
    return (await askStatus(server)).json as AgentStatus;
  } catch {
    return null;
  }
}
