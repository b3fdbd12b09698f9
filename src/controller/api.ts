// The HTTP API of the controller: status, health, metrics, and the verbs that change something.

import type { IncomingMessage } from 'node:http';
import { bearerToken, failure, type Reply, type Route } from '../process/http.ts';
import { type Address, AddressError, parseAddress } from '../state/address.ts';
import type { Controller } from './controller.ts';
import type { CoreEvent } from './core.ts';
import { MoveReason, type MoveResult } from './owners/moves.ts';
import { chooseNode } from './place.ts';
import { type AuditInput, audited } from './status/audit-log.ts';
import type { StatusHead } from './status/status.ts';
import { whyNotOn } from './status/vip-state.ts';
import type { Principal } from './stream/credentials.ts';
import { inTurns } from './turns.ts';

export interface ApiInput extends AuditInput {
  readonly controller: Controller;
  /** The status as JSON, in pieces. */
  readonly status: () => AsyncIterable<string>;
  /** The status without VIPs, nodes and Services. */
  readonly head: () => StatusHead;
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>;
  readonly happened: (what: CoreEvent) => void;
  /** How long a move may take: it waits for nodes that may never answer. */
  readonly moveDeadlineMs: number;
  /** False while this controller stands by: it changes nothing then. */
  readonly rules: () => boolean;
}

/** What the changing verbs need. */
type Changing = Pick<ApiInput, 'controller' | 'moveDeadlineMs' | 'happened'>;

export function apiRoutes(input: ApiInput): readonly Route[] {
  const { controller, status, head, metrics, principalOf, rules } = input;
  const authorize = (message: IncomingMessage) => {
    return operatorOnly(principalOf(message), message) ?? (rules() ? null : misdirected(head()));
  };
  const changing = (verb: string, handle: Route['handle']): Route => {
    return audited(verb, { method: 'POST', path: `/api/v1/${verb}`, authorize, handle }, input);
  };
  return [
    {
      method: 'GET',
      path: '/api/v1/status',
      handle: () => ({ status: 200, body: status(), contentType: 'application/json' }),
    },
    { method: 'GET', path: '/healthz', isProbe: true, handle: () => ({ status: 200, body: 'ok\n' }) },
    { method: 'GET', path: '/readyz', isProbe: true, handle: () => readiness(head()) },
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => {
        const { text, contentType } = await metrics();
        return { status: 200, body: text, contentType };
      },
    },
    changing('move', ({ body }) => move(input, body)),
    changing('drain', ({ body }) => drain(input, body)),
    changing('undrain', ({ body }) => undrain(controller, body)),
  ];
}

function operatorOnly(principal: Principal | null, request: IncomingMessage): Reply | null {
  if (principal?.kind === 'anyone' || principal?.kind === 'operator') return null;
  const next =
    'give --token-file with the token of the line `operator TOKEN`, or a certificate for vipward://operator';
  if (principal === null) {
    const message =
      bearerToken(request) === null
        ? 'the request has no token, and no valid certificate'
        : 'the token of the request is not valid';
    const reply = failure(401, { code: 'Unauthorized', message, next });
    return { ...reply, headers: { 'www-authenticate': 'Bearer' } };
  }
  return failure(403, {
    code: 'Forbidden',
    message: `${principal.name} is a node: only an operator may change placements`,
    next,
  });
}

/** The refusal of a standby, which names the controller that rules. */
function misdirected({ leader = null }: StatusHead): Reply {
  const who = leader === null ? 'not known' : `${leader.identity} at ${leader.address ?? '?'}`;
  const next = 'ask the leader, at the address of `leader`';
  const reply = failure(421, {
    code: 'Standby',
    message: `this controller is a standby; the leader is ${who}`,
    next,
  });
  return { ...reply, body: { ...(reply.body as object), leader } };
}

function readiness({ synced, reason, problems }: StatusHead): Reply {
  const isReady = typeof synced === 'boolean' ? synced : Object.values(synced).every(Boolean);
  if (isReady) return { status: 200, body: 'ok\n' };
  const code = reason ?? 'NotSynced';
  const [problem] = problems;
  const message =
    problem === undefined ? 'not all Services are read yet' : `${problem.file}: ${problem.message}`;
  return failure(503, { code, message, next: 'see problems and massRemoval of /api/v1/status' });
}

/** The text of a field of a JSON body, or a refusal that does not repeat a deeply nested value. */
function textOf(body: unknown, name: string): string | Reply {
  const value =
    typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
  const isText = typeof value === 'string';
  if (isText && value !== '' && value.length <= 253) return value;
  const got = isText ? `one of ${value.length}` : value === undefined ? 'nothing' : 'another type';
  const message = `${name}: expected a text of 1-253 characters, got ${got}`;
  return failure(400, { code: 'BadRequest', message, next: `send {"${name}": "..."}` });
}

async function move(input: Changing, body: unknown): Promise<Reply> {
  const { controller } = input;
  const [vip, name] = [textOf(body, 'vip'), textOf(body, 'node')];
  if (typeof vip !== 'string') return vip;
  if (typeof name !== 'string') return name;
  let address: Address;
  try {
    address = parseAddress(vip);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    return failure(400, { code: 'BadRequest', message: `vip: ${error.message}`, next: 'see vipward status' });
  }
  if (controller.rules.get(address) === undefined || controller.owners.leaving.has(address)) {
    return failure(404, {
      code: 'NoSuchVip',
      message: `${address} is not a VIP`,
      next: 'see vipward status',
    });
  }
  const node = controller.nodes.get(name);
  const why = whyNotOn(controller, address, { name, node });
  if (node === undefined || why !== null) {
    const next = 'see nodes of vipward status for one that is connected and not drained';
    return failure(409, { code: 'NotEligible', message: `${name}: ${why ?? 'unknown'}`, next });
  }
  const { owners } = controller;
  const owner = owners.ownerOf(address);
  const isThere = node.held.has(address) && !owners.moves.has(address);
  const order = { to: node, reason: MoveReason.Asked, deadlineMs: input.moveDeadlineMs };
  const result: MoveResult =
    owner?.node === name && isThere ? { term: owner.term } : await owners.moves.begin(address, order);
  if ('failed' in result) {
    return failure(409, {
      code: 'MoveFailed',
      message: `${address}: ${result.failed}`,
      next: 'see vipward status',
    });
  }
  input.happened({ kind: 'moved', address, node: name });
  return { status: 200, body: { vip: address, node: name, from: owner?.node ?? null, term: result.term } };
}

async function drain(input: Changing, body: unknown): Promise<Reply> {
  const { controller } = input;
  const name = textOf(body, 'node');
  if (typeof name !== 'string') return name;
  if (controller.nodes.get(name) === undefined) return noSuchNode(name);
  controller.setDrained(name, true);
  const results: ReturnType<typeof moveAway>[] = [];
  const moves = movesAway(input, name, results);
  await new Promise<void>((done) => inTurns(moves, { done, leastSteps: 1 }));
  const failed = (await Promise.all(results)).filter((result) => result.failed !== null);
  const [first] = failed;
  if (first === undefined) return { status: 200, body: { node: name, moved: results.length } };
  const stay = `${failed.length} of its ${results.length} VIPs stay; ${first.address}: ${first.failed}`;
  if (!controller.drained.has(name)) {
    const message = `${name} was undrained meanwhile, and ${stay}`;
    return failure(409, { code: 'MoveFailed', message, next: `vipward drain ${name} moves them` });
  }
  const message = `${name} is drained and gets no more VIPs, but ${stay}`;
  const next = `vipward undrain ${name} undoes it; drain again once another node can have them`;
  return failure(409, { code: 'NoEligibleNode', message, next });
}

/** Begins to move the VIPs of a node, one a step: for each, all nodes are asked whether they may have it. */
function* movesAway(input: Changing, name: string, results: ReturnType<typeof moveAway>[]) {
  const { owners } = input.controller;
  // A VIP that is on its way from the node may come back.
  const isThere = (address: Address): boolean =>
    owners.ownerOf(address)?.node === name || owners.moves.awayFrom(name, address) !== undefined;
  for (const address of [...owners.all.keys()].filter(isThere)) {
    if (isThere(address)) results.push(moveAway(input, address, name));
    yield;
  }
}

async function moveAway(input: Changing, address: Address, name: string) {
  const { owners, nodes, drained } = input.controller;
  const earlier = owners.moves.awayFrom(name, address);
  if (earlier !== undefined) {
    const ended = await earlier;
    const isBack = owners.ownerOf(address)?.node === name;
    if (!isBack) return { address, failed: 'failed' in ended ? ended.failed : null };
  }
  if (!drained.has(name)) return { address, failed: 'its move had not begun' };
  const chosen = chooseNode(address, owners.candidates.ready(address, name), nodes.preferred(address));
  if (chosen === null) return { address, failed: 'no other node is eligible' };
  const order = { to: nodes.at(chosen), reason: MoveReason.Drained, deadlineMs: input.moveDeadlineMs };
  const result = await owners.moves.begin(address, order);
  return { address, failed: 'failed' in result ? result.failed : null };
}

function undrain(controller: Controller, body: unknown): Reply {
  const name = textOf(body, 'node');
  if (typeof name !== 'string') return name;
  if (controller.nodes.get(name) === undefined) return noSuchNode(name);
  controller.setDrained(name, false);
  return { status: 200, body: { node: name } };
}

function noSuchNode(name: string): Reply {
  const next = 'see nodes of vipward status';
  return failure(409, {
    code: 'NoSuchNode',
    message: `${name}: no node of that name has ever connected`,
    next,
  });
}
