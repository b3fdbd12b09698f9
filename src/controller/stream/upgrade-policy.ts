// Decides which request may open a stream, and for which node its connection may speak. Pure.

import type { IncomingMessage } from 'node:http';
import { bearerToken } from '../../process/http.ts';
import { subprotocol } from '../../protocol/messages.ts';
import { type Closing, policyViolation } from '../sessions.ts';
import type { Refusal } from './refuse.ts';

/** The peer as its credential names it; `node` is null where no credential is required. */
export interface Speaker {
  readonly node: string | null;
}

/** The hub's state, on which the decision depends. */
export interface HubState {
  /** The request has a node's credential, or none is required. */
  readonly isKnown: boolean;
  /** The source has been read completely once. */
  readonly isOpen: boolean;
  /** The connection limit is reached. */
  readonly isFull: boolean;
  /** The credential has as many connections as it may. */
  readonly isFullForIt: boolean;
}

/** The only refusal that a request waits out: it ends once the Services have been read. */
export const notReadYet: Refusal = { status: 503, reason: 'the controller has not read all Services yet' };

const noToken = 'there is no token: a client certificate or Authorization: Bearer TOKEN of a node is needed';

/** Why a request may not open a stream; null if it may. */
export function whyNoStream(request: IncomingMessage, hub: HubState): Refusal | null {
  const { url, headers } = request;
  if (URL.parse(url ?? '', 'http://localhost')?.pathname !== '/agent') {
    return { status: 404, reason: 'the path of the stream is /agent' };
  }
  // A web page in a browser on this machine could otherwise connect like any local process.
  if (headers.origin !== undefined) return { status: 403, reason: 'a web page may not open a stream' };
  if (!hub.isKnown) {
    const reason = bearerToken(request) === null ? noToken : 'the token is not that of a node';
    return { status: 401, reason };
  }
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (!offered.includes(subprotocol))
    return { status: 400, reason: `the subprotocol ${subprotocol} is needed` };
  if (hub.isFull) return { status: 503, reason: 'too many connections' };
  if (hub.isFullForIt) return { status: 503, reason: 'too many connections by this credential' };
  return hub.isOpen ? null : notReadYet;
}

/**
 * Why a peer may not speak for node `name`; null if it may. A valid credential permits its own node alone.
 */
export function whyStranger(speaker: Speaker | null, name: string): Closing | null {
  if (speaker === null) return { code: policyViolation, reason: 'the credential is no longer valid' };
  if (speaker.node === null || speaker.node === name) return null;
  const reason = `node: the credential is that of ${speaker.node}, not of ${name}`;
  return { code: policyViolation, reason };
}
