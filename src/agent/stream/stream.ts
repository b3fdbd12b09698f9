// A stream to a controller as the rest of the agent sees it, and what links.ts needs to make them.

import type { LookupAddress } from 'node:dns';
import type { Log } from '../../process/log.ts';
import type { AgentMessage, ControllerMessage, Hello } from '../../protocol/messages.ts';
import type { Credentials } from './credentials.ts';

/**
 * One stream, or the attempt at one; `state` and `reason` are for `status`. A refusal stands there until the
 * controller is found to speak as it should. A dormant one reaches a controller to which another is open.
 */
export interface Stream {
  readonly url: string;
  readonly state: 'connecting' | 'open' | 'refused' | 'dormant';
  readonly reason: string;
  send(message: AgentMessage): void;
  /** Closes with a reason that both sides can read; another attempt follows. */
  refuse(reason: string): void;
}

export interface LinkParts {
  readonly urls: readonly string[];
  /** What a name stands for, asked at each attempt. */
  readonly lookup: (host: string) => Promise<readonly LookupAddress[]>;
  /** Asked at each attempt. */
  readonly credentials: () => Promise<Credentials>;
  readonly hello: () => Hello;
  /** A frame of a stream, in order. Throwing closes the stream with the error's message. */
  readonly onMessage: (stream: Stream, message: ControllerMessage) => void;
  readonly onClose: (stream: Stream) => void;
  readonly log: Log;
  /** After how long at most a name is asked again for addresses at which no stream is. */
  readonly lookAgainMs: number;
  readonly now: () => number;
}

/** The name or address in a URL. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
