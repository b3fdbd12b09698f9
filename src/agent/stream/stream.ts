// A stream to a controller as the rest of the agent sees it, and what streams.ts needs to open streams.

import type { LookupAddress } from 'node:dns';
import type { Log } from '../../process/log.ts';
import type { AgentMessage, ControllerMessage, Hello } from '../../protocol/messages.ts';
import type { Credentials } from './credentials.ts';

/**
 * One stream, or the attempt at one; `state` and `reason` are for `status`. `refused` lasts until the
 * controller follows the protocol. A `dormant` stream would reach a controller that has another open stream.
 */
export interface Stream {
  readonly url: string;
  readonly state: 'connecting' | 'open' | 'refused' | 'dormant';
  readonly reason: string;
  send(message: AgentMessage): void;
  /**
   * Closes with a reason that both sides can read; another attempt follows. Attempts at a controller that is
   * the wrong one for good come ever later.
   */
  refuse(reason: string, isForGood?: boolean): void;
}

/** A stream as the others of this agent see it. */
export interface Sibling extends Stream {
  /** Identifies the controller that welcomed this connection; undefined before the welcome. */
  readonly controller: string | undefined;
  /** The address that this stream is connected or connecting to. */
  readonly address: string | undefined;
  /** An address of this stream's host at which it meets another cluster, or another stream's controller. */
  readonly avoids: string | undefined;
}

/** What one stream asks of and tells the others. */
export interface Siblings {
  /** Chooses the address that this stream connects to, among those its host name resolves to. */
  addressFor(stream: Sibling, addresses: readonly LookupAddress[]): LookupAddress | undefined;
  /** Finds another stream that this controller has welcomed. */
  reaching(controller: string, except: Sibling): Sibling | undefined;
  closed(stream: Sibling): void;
}

export interface StreamsParts {
  readonly urls: readonly string[];
  /** Resolves a name, at each attempt. */
  readonly lookup: (host: string) => Promise<readonly LookupAddress[]>;
  /** Read at each attempt. */
  readonly credentials: () => Promise<Credentials>;
  readonly hello: () => Hello;
  /** Called with each message of a stream, in order. Throwing closes the stream with the error's message. */
  readonly onMessage: (stream: Stream, message: ControllerMessage) => void;
  readonly onClose: (stream: Stream) => void;
  readonly log: Log;
  /** The longest time between two lookups of a name for addresses without a stream. */
  readonly lookAgainMs: number;
  readonly now: () => number;
}

/** The name or address in a URL. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
