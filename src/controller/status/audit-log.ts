// The audit log: one line for each changing verb, with its principal, its peer, the names it was given and
// its outcome.

import type { IncomingMessage } from 'node:http';
import type { ErrorBody, Reply, Route } from '../../process/http.ts';
import type { Log } from '../../process/log.ts';
import type { Principal } from '../stream/credentials.ts';

/** Names are no longer than this; anything longer is left out of the log. */
const mostCharacters = 253;

export interface AuditInput {
  readonly log: Log;
  readonly principalOf: (message: IncomingMessage) => Principal | null;
}

/** The same route, logging each reply, done or refused, in a line named after the verb. */
export function audited(verb: string, route: Route, { log, principalOf }: AuditInput): Route {
  return {
    ...route,
    handle: async (request) => {
      const { message, body } = request;
      const by = principalOf(message)?.kind ?? null;
      const peer = message.socket.remoteAddress ?? null;
      const names = { ...nameOf(body, 'vip'), ...nameOf(body, 'node') };
      const reply = await route.handle(request);
      log.info({ by, peer, ...names, ...outcomeOf(reply) }, verb);
      return reply;
    },
  };
}

function nameOf(body: unknown, name: string): object {
  const value: unknown = Object(body)[name];
  return typeof value === 'string' && value.length <= mostCharacters ? { [name]: value } : {};
}

function outcomeOf({ status, body }: Reply): object {
  if (status === 200) return Object(body);
  const { code, message } = (body as { readonly error: ErrorBody }).error;
  return { code, reason: message };
}
