// Starts the agent as soon as the kernel has a firewall that it can use. Until then the process stays up,
// reports what is missing, and holds no VIP, since it could not guard one.

import { setTimeout as sleep } from 'node:timers/promises';
import { failure, type Reply, type Route } from '../process/http.ts';
import type { Log } from '../process/log.ts';
import type { Agent } from './agent.ts';
import type { AgentConfig } from './config.ts';
import { NoFirewallError } from './firewall/firewall.ts';
import { waitingMetricsText } from './metrics.ts';
import type { NodeReport } from './report.ts';

export interface StartParts {
  readonly config: AgentConfig;
  readonly version: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly start: () => Promise<Agent>;
  /** Serves these routes until the agent has started. */
  readonly show: (forThisHost: readonly Route[], forScrapers: readonly Route[]) => void;
}

/** The missing kernel module may be loaded meanwhile. */
const retryMs = 5000;

/** Resolves to the agent once there is a firewall for it, or to undefined if the signal is aborted before. */
export async function startWhenPossible(parts: StartParts): Promise<Agent | undefined> {
  const { signal, log, start, show } = parts;
  let reason = 'starting';
  const open = openRoutes(parts.version, () => reason);
  const needingKernel = questions.map((path) => notStarted(path, () => reason));
  show([...open, statusRoute(parts, () => reason), ...needingKernel], open);
  while (!signal.aborted) {
    try {
      return await start();
    } catch (error) {
      if (error === signal.reason) break;
      if (!(error instanceof NoFirewallError)) throw error;
      if (error.message !== reason) log.error({ reason: error.message }, 'noFirewall');
      reason = error.message;
    }
    await sleep(retryMs, undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** Routes that only an agent with a firewall can answer. */
const questions = ['/explain', '/diff', '/would-drop'];

function notStarted(path: string, reason: () => string): Route {
  const refusal = () => failure(503, { code: 'NotStarted', message: reason(), next: 'run vipward doctor' });
  return { method: 'GET', path, handle: refusal };
}

/** Routes that scrapers may use too. */
function openRoutes(version: string, reason: () => string): Route[] {
  const metrics = async (): Promise<Reply> => {
    const { text: body, contentType } = await waitingMetricsText(version);
    return { status: 200, body, contentType };
  };
  return [
    {
      method: 'GET',
      path: '/healthz',
      isProbe: true,
      handle: () => ({ status: 200, body: 'ok\n', contentType: 'text/plain; charset=utf-8' }),
    },
    { ...notStarted('/readyz', reason), isProbe: true },
    { method: 'GET', path: '/metrics', handle: metrics },
  ];
}

function statusRoute({ config, version }: StartParts, reason: () => string): Route {
  const report = (): NodeReport => ({
    node: config.node,
    version,
    firewall: 'none',
    filter: config.values.filter,
    inSync: false,
    cluster: null,
    generation: 0,
    controllers: [],
    problems: [reason()],
    vips: [],
  });
  return { method: 'GET', path: '/status', handle: () => ({ status: 200, body: report() }) };
}
