// Runs a controller for main.ts and the tests. Owns the server, the timers and the order of the start.

import type { IncomingMessage } from 'node:http';
import { aborted } from '../process/aborted.ts';
import { routeListener } from '../process/http.ts';
import type { Log, LogDestination } from '../process/log.ts';
import { heartbeatMs } from '../protocol/messages.ts';
import type { Pool } from './allocation/pools.ts';
import { apiRoutes } from './api.ts';
import type { ControllerConfig } from './config.ts';
import type { Controller } from './controller.ts';
import type { Core, CoreInput } from './core.ts';
import { makeFileCore } from './file-core.ts';
import { Hub } from './hub.ts';
import { makeKubernetesCore } from './kubernetes-core.ts';
import { LoopLag } from './loop-lag.ts';
import { scrape } from './metrics.ts';
import { moveDeadlineMs } from './owners/moves.ts';
import { Settling } from './owners/settling.ts';
import { massRemovalWaitMs } from './readings/mass-removal.ts';
import { Replacing } from './replacing.ts';
import { connectionLimit, listenOn, makeServer } from './server.ts';
import { Sessions } from './sessions.ts';
import { headOf, type Status, statusOf } from './status/status.ts';
import { statusText } from './status/status-text.ts';
import { AgentLog } from './stream/agent-log.ts';
import { type Principal, principalOf, watchTokens } from './stream/credentials.ts';

/** Times that tests shorten. */
export interface Timing {
  /**
   * How long after the first hello unclaimed VIPs are placed, so that agents which start together share
   * evenly.
   */
  readonly settleMs: number;
  /** How long the recorded owner of a VIP may take to claim it: a hold of 1.5 s, and 3 s. */
  readonly claimMs: number;
  readonly helloTimeoutMs: number;
  readonly massRemovalWaitMs: number;
  readonly moveDeadlineMs: number;
}

export const usualTiming: Timing = {
  settleMs: 1000,
  claimMs: 4500,
  helloTimeoutMs: 5000,
  massRemovalWaitMs,
  moveDeadlineMs,
};

export interface RunInput {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly version: string;
  readonly logDestination: Pick<LogDestination, 'dropped'>;
  readonly timing?: Timing;
  /** Names the kubeconfig and the Pod; only a controller in a cluster needs it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Running {
  readonly url: string;
  readonly controller: Controller;
  readonly status: () => Status;
  /** Takes over what can change without a restart: pools and the guard against mass removal. */
  readonly follow: (config: ControllerConfig) => void;
  /** Reads the source again, changed or not. */
  readonly readAgain: () => Promise<void>;
  /**
   * Resolves when everything is closed and written, after the signal was aborted. Closes as well, and then
   * rejects with DeposedError, if another process rules.
   */
  readonly done: Promise<void>;
}

/**
 * Starts a controller. Resolves once it listens and has read its source once. Throws UsageError, StateError.
 */
export async function startController(config: ControllerConfig, given: RunInput): Promise<Running> {
  const { log, timing = usualTiming, env = {}, version } = given;
  const fatal = new AbortController();
  const signal = AbortSignal.any([given.signal, fatal.signal]);
  const input = { ...given, signal };
  const tokens = watchTokens(config.tokenFile, { log, signal, onRead: () => hub.recheck() });
  const { massRemovalWaitMs, moveDeadlineMs } = timing;
  const onPublished = () => hub.begin();
  const onFatal = (error: Error) => fatal.abort(error);
  const core = await makeCore(config, { log, signal, env, version, massRemovalWaitMs, onPublished, onFatal });
  const { controller, nodeOfToken } = core;
  const takesCertificates = config.tls?.clientCa !== undefined;
  const credentials = { tokens, takesCertificates, nodeOfToken };
  const whoIs = (request: IncomingMessage) => principalOf(request, credentials);
  const hub = makeHub(core, { ...input, timing, whoIs });
  const { pools, follow, readAgain } = makeReload(core, config, log);
  const isRuling = () => core.self().ruling;
  const connections = () => hub.size;
  const loopLag = new LoopLag();
  const routes = apiRoutes({
    controller,
    log,
    moveDeadlineMs,
    status: () => statusText(core.statusInput()),
    head: () => headOf(core.statusInput()),
    metrics: () => scrape({ ...input, ...core, pools, connections, isRuling, loopLag }),
    principalOf: whoIs,
    rules: isRuling,
    happened: core.happened,
  });
  const failed = (error: unknown) => log.error({ reason: String(error) }, 'requestFailed');
  const onError = (error: Error) => log.error({ reason: error.message }, 'certificateRefused');
  const onRead = () => log.info('certificateRead');
  const { certificate } = core;
  const listener = routeListener(routes, failed);
  const server = makeServer(config, { listener, signal, onRead, onError, certificate });
  hub.attach(server);
  const url = await listenOn(server, config);
  const ticker = setInterval(() => {
    hub.tick();
    controller.owners.tick();
  }, heartbeatMs);
  log.info({ url, generation: controller.generation, cluster: controller.cluster }, 'listening');
  const done = aborted(signal).then(async () => {
    clearInterval(ticker);
    loopLag[Symbol.dispose]();
    core.readings.dispose();
    hub.terminate();
    server.closeAllConnections();
    server.close();
    await core.end();
    log.info('stopped');
    fatal.signal.throwIfAborted();
  });
  done.catch(() => undefined);
  await core.start();
  const status = () => statusOf(core.statusInput());
  return { url, controller, status, done, follow, readAgain };
}

function makeCore(config: ControllerConfig, input: CoreInput): Promise<Core> | Core {
  const { source } = config;
  if (source.kind === 'files') return makeFileCore(config, source, input);
  return makeKubernetesCore(config, source, input);
}

interface HubParts extends RunInput {
  readonly timing: Timing;
  readonly whoIs: (request: IncomingMessage) => Principal | null;
}

function makeHub(
  { controller, readings, replaces, progressed, happened, isOpen, self }: Core,
  { log, timing, version, whoIs, signal }: HubParts,
): Hub {
  const agentLog = new AgentLog(log);
  const sessions = new Sessions(controller, {
    generationRaised: (generation, node) => {
      log.warn({ generation, node }, 'GenerationRaised');
      happened({ kind: 'generationRaised', generation, node });
      // The other agents were told the old generation: they must say hello again.
      hub.closeAll({ code: 1012, reason: `GenerationRaised: ${generation}` });
    },
    refused: (node, { table, key, code, reason }) => agentLog.refused.add({ node, table, key, code, reason }),
    impossibleTerm: (node, address) => {
      agentLog.impossible.add({ node, address });
      happened({ kind: 'impossibleTerm', node, address });
    },
    progressed: () => {
      settling.progressed();
      replacing.progressed();
      progressed();
    },
  });
  const replacing = new Replacing({ controller, readings, ...replaces });
  const settling = new Settling({ ...timing, controller, onSettled: progressed });
  signal.addEventListener('abort', () => settling.dispose(), { once: true });
  const hub: Hub = new Hub({
    sessions,
    authenticate: (request) => nodeOf(whoIs(request)),
    isOpen,
    self: () => ({ version, ...self() }),
    onGreeted: (node) => agentLog[self().ruling ? 'connected' : 'heard'].add({ node }),
    onClosed: (node, how) => {
      agentLog.closed.add({ node, ...how });
      controller.closedConnections.ended(node, { node, ...how });
    },
    onTurnedAway: (refused) => {
      const { peer: _, ...ended } = refused;
      controller.closedConnections.turnedAway(ended);
      agentLog.turnedAway.add(refused);
    },
    onError: (error) => log.error({ reason: String(error) }, 'frameFailed'),
    connectionLimit,
    helloTimeoutMs: timing.helloTimeoutMs,
  });
  return hub;
}

/** The operator's credential names no node, so it opens no stream. */
function nodeOf(principal: Principal | null): { readonly node: string | null } | null {
  if (principal?.kind === 'anyone') return { node: null };
  return principal?.kind === 'node' ? { node: principal.name } : null;
}

/** What changes without a restart, and the pools of the last config: a standby does not use them yet. */
function makeReload(core: Core, config: ControllerConfig, log: Log) {
  let { pools } = config;
  const follow = (changed: ControllerConfig) => {
    core.readings.mode = changed.massRemoval;
    if (samePools(changed.pools, pools)) return;
    pools = changed.pools;
    core.usePools(pools);
  };
  const readAgain = async () => {
    await core.readings.readAgain();
    log.info('sourceRead');
  };
  return { pools: () => pools, follow, readAgain };
}

function samePools(a: readonly Pool[], b: readonly Pool[]): boolean {
  const text = (pools: readonly Pool[]) => {
    return JSON.stringify(pools, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  };
  return text(a) === text(b);
}
