// Who may open a stream, and for which node it may speak on it. Pure.

import type { IncomingMessage } from 'node:http';
import { subprotocol } from '../../protocol/messages.ts';
import { type Closing, policyViolation } from '../sessions.ts';
import type { Refusal } from './refuse.ts';

/** Who is on the other side, as its credential says; `node` null where no credential is asked for. */
export interface Speaker {
  readonly node: string | null;
}

/** What the hub knows of itself at this moment. */
export interface HubState {
  /** The request has a credential of a node, or none is asked for. */
  readonly isKnown: boolean;
  /** The source was read whole once. */
  readonly isOpen: boolean;
  /** As many connections are open as there may be. */
  readonly isFull: boolean;
  /** As many are open by this credential as there may be. */
  readonly isFullForIt: boolean;
}

/** The only refusal that is over by itself. */
export const notReadYet: Refusal = { status: 503, reason: 'the Services have not been read whole yet' };

/** Why a request opens no stream, or null. */
export function whyNoStream({ url, headers }: IncomingMessage, hub: HubState): Refusal | null {
  if (URL.parse(url ?? '', 'http://localhost')?.pathname !== '/agent') {
    return { status: 404, reason: 'the stream is at /agent' };
  }
  // A page of the web that a browser on this machine has open could speak to it as anybody here can.
  if (headers.origin !== undefined) return { status: 403, reason: 'no web page opens a stream' };
  if (!hub.isKnown) {
    return {
      status: 401,
      reason: 'a client certificate or Authorization: Bearer TOKEN of a node is needed',
    };
  }
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (!offered.includes(subprotocol))
    return { status: 400, reason: `the subprotocol ${subprotocol} is needed` };
  if (hub.isFull) return { status: 503, reason: 'too many connections' };
  if (hub.isFullForIt) return { status: 503, reason: 'too many connections by this credential' };
  return hub.isOpen ? null : notReadYet;
}

/** A node speaks only of itself, and only while its credential is good. Why not, or null. */
export function whyStranger(speaker: Speaker | null, name: string): Closing | null {
  if (speaker === null) return { code: policyViolation, reason: 'the credential is not good any more' };
  if (speaker.node === null || speaker.node === name) return null;
  const reason = `node: the credential is that of ${speaker.node}, not of ${name}`;
  return { code: policyViolation, reason };
}
