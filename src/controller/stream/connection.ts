// One agent's connection: its timeouts, the frames it receives, and how it ends. hub.ts gives it a socket and
// decides what a message means for its node.

import type { IncomingMessage } from 'node:http';
import { type AgentMessage, frameLimitBytes, heartbeatMs, replacedReason } from '../../protocol/messages.ts';
import { openFrame, readAgentMessage } from '../../protocol/parse.ts';
import { FrameError } from '../../protocol/shape.ts';
import { shortReason } from '../../protocol/write.ts';
import { type Closing, policyViolation, type Session } from '../sessions.ts';
import { bufferLimitBytes, type Wire } from './agent-stream.ts';
import { frameOf } from './frame.ts';
import { codeOfFraming } from './refuse.ts';

/** The part of a WebSocket that a connection uses. */
export interface Socket {
  readonly bufferedAmount: number;
  send(frame: Buffer, sent: () => void): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface ConnectionInput {
  readonly socket: Socket;
  /** Has the credential, which is checked again when the credentials change. */
  readonly request: IncomingMessage;
  readonly helloTimeoutMs: number;
  /** Follows a message; returns a Closing if the agent may not send it. */
  readonly follow: (message: AgentMessage) => Closing | null;
  /** The connection no longer speaks for its node, though its socket may still be open. */
  readonly onEnding: () => void;
  /** Takes an internal error that a frame caused. It ends this connection and no other. */
  readonly onError: (error: unknown) => void;
}

/** An agent that sends nothing for this long is disconnected. */
const silenceMs = 3 * heartbeatMs;
/** How long an agent may take to answer the close frame before its socket is destroyed. */
const closeTimeoutMs = 2000;
const binaryFrame: Closing = { code: 1003, reason: 'binary frame: frames are JSON text' };
/** These name every VIP that a node holds, and may be longer than other frames. */
const long: ReadonlySet<string> = new Set<AgentMessage['type']>(['hello', 'held', 'heldDelta']);
const tooLong: Closing = {
  code: 1009,
  reason: `payload size: at most ${frameLimitBytes} bytes, except for ${[...long].join(', ')}`,
};
const tickFrame = frameOf('{"type":"tick"}');

/** The end of a node's connection when a newer one says hello. Names where that one is from. */
export function replacedBy({ request }: Connection, node: string): Closing {
  const where = `from ${request.socket.remoteAddress}`;
  const reason = `${replacedReason} as ${node}, ${where}; if that is another node, change its --node`;
  return { code: policyViolation, reason };
}

export class Connection implements Wire {
  readonly request: IncomingMessage;
  session: Session | null = null;
  /**
   * The node that said hello while this controller is a standby: it gets a session once the controller rules.
   */
  standbyNode: string | null = null;
  readonly #input: ConnectionInput;
  #lastHeardMs = performance.now();
  /** Deadline of the hello; null once it has come. */
  #helloDueMs: number | null = null;
  /** The closing in progress: frames that still arrive are ignored. */
  #closing: Closing | null = null;

  constructor(input: ConnectionInput) {
    this.#input = input;
    this.request = input.request;
    this.awaitHello();
  }

  /** The node that said hello on this connection. */
  get node(): string | null {
    return this.session?.node.name ?? this.standbyNode;
  }

  get bufferedAmount(): number {
    return this.#input.socket.bufferedAmount;
  }

  /** The closing in progress, begun by the controller, or by ws for a frame that it rejects. */
  get closing(): Closing | null {
    return this.#closing;
  }

  send(frame: Buffer): void {
    this.#input.socket.send(frame, this.#sent);
  }

  /** Requires a hello within helloTimeoutMs from now. */
  awaitHello(): void {
    this.#helloDueMs = performance.now() + this.#input.helloTimeoutMs;
  }

  greeted(): void {
    this.#helloDueMs = null;
  }

  /**
   * Sends a tick, or ends a connection that is silent for too long. A late call restarts the silence, since
   * the controller may not have read its sockets.
   */
  tick(now: number, wasOnTime: boolean): void {
    if (!wasOnTime) this.#lastHeardMs = now;
    if (wasOnTime && this.#helloDueMs !== null && now > this.#helloDueMs) {
      const reason = `no hello within ${this.#input.helloTimeoutMs} ms`;
      this.close({ code: policyViolation, reason });
    } else if (this.node === null) return;
    else if (now - this.#lastHeardMs > silenceMs) {
      this.close({ code: policyViolation, reason: `nothing heard for ${silenceMs} ms` });
      this.terminate();
    } else if (this.bufferedAmount < bufferLimitBytes) this.send(tickFrame);
  }

  heard(data: Buffer, isBinary: boolean): void {
    if (this.#closing !== null) return;
    this.#lastHeardMs = performance.now();
    const closing = isBinary ? binaryFrame : this.#follow(data);
    if (closing !== null) this.close(closing);
  }

  /** ws itself closes the socket on bad framing; code and reason are for the log. */
  broke(error: Error): void {
    if (this.#closing === null) this.#end({ code: codeOfFraming(error), reason: error.message });
  }

  close(closing: Closing): void {
    if (this.#closing !== null) return;
    this.#input.socket.close(closing.code, shortReason(closing.reason));
    setTimeout(() => this.terminate(), closeTimeoutMs).unref();
    this.#end(closing);
  }

  terminate(): void {
    this.#input.socket.terminate();
  }

  #end(closing: Closing): void {
    this.#closing = closing;
    this.#input.onEnding();
  }

  /** Calls `something`; an internal error in it ends this connection and no other. */
  safely(something: () => void): void {
    try {
      something();
    } catch (error) {
      this.close(this.#failed(error));
    }
  }

  #follow(data: Buffer): Closing | null {
    let isTooLong = data.length > frameLimitBytes;
    try {
      const frame = openFrame(data.toString('utf8'));
      isTooLong &&= !long.has(frame.type);
      return isTooLong ? tooLong : this.#input.follow(readAgentMessage(frame));
    } catch (error) {
      if (error instanceof FrameError)
        return isTooLong ? tooLong : { code: policyViolation, reason: error.message };
      return this.#failed(error);
    }
  }

  #failed(error: unknown): Closing {
    this.#input.onError(error);
    return { code: 1011, reason: 'the controller failed on this frame; read its log' };
  }

  readonly #sent = (): void => {
    if (this.bufferedAmount < bufferLimitBytes) this.session?.stream.pump();
  };
}
