// `vipward status`: the status of a controller or an agent, as tables or as its JSON.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, NoAnswerError, RefusedError } from './answer.ts';
import { ask, type Server } from './client.ts';
import { chosenRole, type Flags, type Output, outputOf, type Surroundings, serverOf } from './settings.ts';
import {
  type AgentStatus,
  agentStatus,
  type Beside,
  type ControllerStatus,
  controllerStatus,
} from './status-json.ts';
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
  const said = await find(flags, around);
  if (output === 'json') return said.answer.text;
  if (said.role === 'agent') return agentText(said.answer.json, output);
  return controllerText(said.answer.json, output, await agentBeside(flags, around));
}

type Said =
  | { readonly role: 'controller'; readonly answer: Answer<ControllerStatus> }
  | { readonly role: 'agent'; readonly answer: Answer<AgentStatus> };

/** The named server; by default the controller of this machine, or else its agent. */
async function find(flags: Flags, around: Surroundings): Promise<Said> {
  const role = chosenRole(flags, around.env);
  if (role === 'agent') return await askAgent(serverOf('agent', flags, around));
  try {
    const server = serverOf('controller', flags, around);
    const question = { method: 'GET', path: '/api/v1/status', shape: controllerStatus } as const;
    return { role: 'controller', answer: await ask(server, question) };
  } catch (error) {
    if (role !== undefined || !(error instanceof NoAnswerError)) throw error;
    return await askAgent(serverOf('agent', flags, around)).catch((other: unknown) => {
      if (!(other instanceof NoAnswerError)) throw error;
      throw new NoAnswerError(`${error.message}; ${other.message}`, { cause: other });
    });
  }
}

async function askAgent(server: Server): Promise<Said & { readonly role: 'agent' }> {
  const answer = await ask(server, { method: 'GET', path: '/status', shape: agentStatus });
  return { role: 'agent', answer };
}

async function agentBeside(flags: Flags, around: Surroundings): Promise<Beside | null> {
  try {
    const server = serverOf('agent', { ...flags, timeout: `${besideTimeoutMs}ms` }, around);
    return (await askAgent(server)).answer.json;
  } catch {
    return null;
  }
}
