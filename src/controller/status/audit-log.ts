// The audit log: a line for each verb that changes something, with who asked for what and what came of it.

import type { IncomingMessage } from 'node:http';
import type { ErrorBody, Reply, Route } from '../../process/http.ts';
import type { Log } from '../../process/log.ts';
import type { Principal } from '../stream/credentials.ts';

/** Names are no longer than this; what else is sent in their place is not told on. */
const mostCharacters = 253;

export interface AuditInput {
  readonly log: Log;
  readonly principalOf: (message: IncomingMessage) => Principal | null;
}

/** The same route, with a line in the log, called as the verb is, when it is done or was refused. */
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
