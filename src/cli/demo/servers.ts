// The demo's requests to its own controller and agent, over HTTP like any verb's.

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../process/message-of.ts';
import type { Address } from '../../state/address.ts';
import { ask, defaultOrigin, type Server } from '../client.ts';
import { type Explanation, explainPath, explanation as explanationShape } from '../explain.ts';
import {
  type AgentStatus,
  agentStatus as agentShape,
  type ControllerStatus,
  controllerStatus as controllerShape,
} from '../status-json.ts';
import type { Endpoint } from './plan.ts';
import type { Program } from './processes.ts';

export type DemoStatus = ControllerStatus & { readonly seq: number; readonly synced: boolean };

/** Longer than any request takes on a busy machine. */
const timeoutMs = 10_000;
const startMs = 20_000;

function server(role: Server['role']): Server {
  const say = () => undefined;
  return { role, origins: [defaultOrigin(role)], token: undefined, ca: undefined, timeoutMs, say };
}

export async function controllerStatus(): Promise<DemoStatus> {
  const { json } = await ask(server('controller'), {
    method: 'GET',
    path: '/api/v1/status',
    shape: controllerShape,
  });
  return json as DemoStatus;
}

export async function agentStatus(): Promise<AgentStatus> {
  return (await ask(server('agent'), { method: 'GET', path: '/status', shape: agentShape })).json;
}

export async function explanation(endpoint: Endpoint, from: Address): Promise<Explanation> {
  const path = explainPath(endpoint, from);
  return (await ask(server('agent'), { method: 'GET', path, shape: explanationShape })).json;
}

/** Waits until a request has the right answer; an Error names it. All programs must keep running. */
export async function until<T>(
  what: string,
  question: () => Promise<T | undefined>,
  { programs, signal, everyMs }: { programs: readonly Program[]; signal: AbortSignal; everyMs: number },
): Promise<T> {
  const deadline = performance.now() + startMs;
  let last = '';
  while (performance.now() < deadline) {
    for (const program of programs) program.check();
    const answer = await question().catch((error: unknown) => {
      last = `: ${messageOf(error)}`;
      return undefined;
    });
    if (answer !== undefined) return answer;
    await sleep(everyMs, undefined, { signal });
  }
  throw new Error(`waited ${startMs / 1000} s for ${what}${last}`);
}
