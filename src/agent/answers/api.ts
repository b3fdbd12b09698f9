// The agent's HTTP routes: status, health, metrics, and the questions of `explain`, `diff` and `would-drop`.

import type { Packet } from '../../dialects/dialect.ts';
import type { ForeignChain } from '../../dialects/nftables/foreign.ts';
import { SystemCallError } from '../../host/socket.ts';
import { failure, type Reply, type Route, type RouteRequest } from '../../process/http.ts';
import { type Address, AddressError, familyOf, parseAddress } from '../../state/address.ts';
import { PortError, parsePort, parseProtocol, protocolNumbers } from '../../state/port.ts';
import type { Agent } from '../agent.ts';
import type { VipCounters } from '../firewall/firewall.ts';
import { metricsText } from '../metrics.ts';
import { controllerReports, type NodeReport, vipReports } from '../report.ts';
import { coalesced, oneByOne } from './coalesced.ts';
import { differences } from './differences.ts';
import { crossedBy, explain, foreignChains } from './explain.ts';
import { wouldDrop } from './would-drop.ts';

/** A kernel that is busy with another process's commit answers late: the report then has no counters. */
const countersWithinMs = 300;

/** Foreign rules may be many: all requests within this time share one reading. */
const foreignKeptMs = 2000;

type Counters = ReadonlyMap<Address, VipCounters>;

/** `own` is for this host only, `open` for scrapers too. Both share their readings of the kernel. */
export function agentRoutes(agent: Agent): { readonly own: Route[]; readonly open: Route[] } {
  const { kernel, firewall, ledger } = agent;
  const counting = coalesced(() => firewall.counters(kernel, [...ledger.committed.values()]));
  const counters = () => soon(counting);
  const comparing = coalesced(() => differences(agent));
  const sampling = coalesced(() => observed(agent));
  const open: Route[] = [
    { method: 'GET', path: '/healthz', isProbe: true, handle: () => text(200, 'ok\n') },
    { method: 'GET', path: '/readyz', isProbe: true, handle: readiness(agent) },
    { method: 'GET', path: '/metrics', handle: async () => metrics(agent, await counters()) },
  ];
  const status = async () => nodeReport(agent, await counters());
  const own: Route[] = [
    ...open,
    { method: 'GET', path: '/status', handle: async () => ({ status: 200, body: await status() }) },
    ofKernel('/explain', explaining(agent)),
    ofKernel('/diff', async () => ({ status: 200, body: await comparing() })),
    ofKernel('/would-drop', sampling),
  ];
  return { own, open };
}

/** A route that asks the kernel. If the kernel gives no answer, the reply is 503 with its words. */
function ofKernel(path: string, answer: Route['handle']): Route {
  const handle = async (request: RouteRequest): Promise<Reply> => {
    try {
      return await answer(request);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      const next = 'ask again; if that fails too, run vipward doctor on this node';
      return failure(503, { code: error.code, message: `cannot read the kernel: ${error.message}`, next });
    }
  };
  return { method: 'GET', path, handle };
}

/** Ready once rules are in force since the start, from disk or from a controller, and from then on. */
function readiness({ loop, ledger }: Agent): () => Reply {
  let isReady = false;
  return () => {
    isReady ||= loop.settled || ledger.committed.size > 0;
    if (isReady) return text(200, 'ok\n');
    return failure(503, {
      code: 'NotReady',
      message: 'no rules are in force yet, from the state on disk or from a controller',
      next: 'see the problems and the state of the streams in /status',
    });
  };
}

function nodeReport(agent: Agent, counters: Counters): NodeReport {
  const { config, firewall, loop, prober, session, streams, version } = agent;
  return {
    node: config.node,
    version,
    firewall: firewall.dialect.name,
    filter: config.values.filter,
    inSync: loop.settled && session.problems.length === 0,
    cluster: session.cluster,
    generation: session.generation,
    controllers: controllerReports(streams.all),
    problems: agent.problems(),
    vips: vipReports(agent, counters, (key) => prober.obstacle(key)),
  };
}

async function soon(counting: () => Promise<Counters>): Promise<Counters> {
  const nothing = new Promise<Counters>((resolve) => {
    setTimeout(() => resolve(new Map()), countersWithinMs).unref();
  });
  return Promise.race([counting().catch(() => new Map()), nothing]);
}

/**
 * Answers one `explain` at a time, since each packet is a question of its own. All share one reading of the
 * foreign chains.
 */
function explaining(agent: Agent): Route['handle'] {
  const inTurn = oneByOne<Reply>();
  const foreign = coalesced(() => foreignChains(agent.kernel), foreignKeptMs);
  return async ({ url, message, signal }) => {
    const hasGone = (): boolean => signal.aborted || message.socket.destroyed;
    const answer = await inTurn(hasGone, () => explained(agent, url.searchParams, foreign));
    return answer ?? text(503, 'the client has disconnected\n');
  };
}

async function explained(
  { kernel, firewall: { tracer }, ledger, config }: Agent,
  query: URLSearchParams,
  readForeign: () => Promise<readonly ForeignChain[]>,
): Promise<Reply> {
  try {
    const packet = packetOf(query);
    const { address } = packet;
    const observe = config.values.filter === 'observe';
    const trace = tracer.read(await kernel.ask(tracer.question(packet)), packet, observe);
    const foreign = crossedBy(await readForeign(), familyOf(address));
    const [vip, held] = [ledger.committed.get(address), ledger.held.has(address)];
    return { status: 200, body: explain(packet, { trace, vip, held, observe, foreign }) };
  } catch (error) {
    if (!(error instanceof QuestionError)) throw error;
    const next = 'ask for /explain?address=A&port=N&protocol=TCP|UDP|SCTP&from=B';
    return failure(400, { code: error.code, message: error.message, next });
  }
}

/** A query parameter that is no address, port or protocol; the message names it. */
class QuestionError extends Error {
  readonly code: (AddressError | PortError)['code'];

  constructor(name: string, cause: AddressError | PortError) {
    super(`${name}: ${cause.message}`, { cause });
    this.code = cause.code;
  }
}

/** Throws QuestionError. */
function packetOf(query: URLSearchParams): Packet {
  const read = <T>(name: string, parse: (text: string) => T, usual = ''): T => {
    try {
      return parse(query.get(name) ?? usual);
    } catch (error) {
      if (!(error instanceof AddressError) && !(error instanceof PortError)) throw error;
      throw new QuestionError(name, error);
    }
  };
  return {
    address: read('address', parseAddress),
    port: read('port', (text) => parsePort(/^\d+$/.test(text) ? Number(text) : text)),
    protocol: read('protocol', (text) => protocolNumbers[parseProtocol(text)], 'TCP'),
    from: query.has('from') ? read('from', parseAddress) : null,
  };
}

async function observed({ kernel, firewall, config }: Agent): Promise<Reply> {
  const { filter } = config.values;
  return { status: 200, body: await wouldDrop(kernel, firewall, { filter, nowMs: Date.now() }) };
}

async function metrics(agent: Agent, counters: Counters): Promise<Reply> {
  const { text: body, contentType } = await metricsText(agent, counters);
  return { status: 200, body, contentType };
}

function text(status: number, body: string): Reply {
  return { status, body, contentType: 'text/plain; charset=utf-8' };
}
