// One connection to an agent and its life: when it must be heard, what is heard on it, and how it ends.
// hub.ts gives it a socket and says what a message means for the node that speaks.

import type { IncomingMessage } from 'node:http';
import { type AgentMessage, frameLimitBytes, heartbeatMs } from '../../protocol/messages.ts';
import { openFrame, readAgentMessage } from '../../protocol/parse.ts';
import { FrameError } from '../../protocol/shape.ts';
import { type Closing, policyViolation, type Session } from '../sessions.ts';
import { bufferLimitBytes, type Wire } from './agent-stream.ts';
import { frameOf } from './frame.ts';
import { codeOfFraming, shortReason } from './refuse.ts';

/** A WebSocket, as far as a connection needs it. */
export interface Socket {
  readonly bufferedAmount: number;
  send(frame: Buffer, sent: () => void): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface ConnectionInput {
  readonly socket: Socket;
  /** Its credential, to be looked at again when it is heard that credentials have changed. */
  readonly request: IncomingMessage;
  readonly helloTimeoutMs: number;
  /** A Closing if the agent may not say this. */
  readonly follow: (message: AgentMessage) => Closing | null;
  /** What it was to its node is over, though its socket may not be closed yet. */
  readonly onEnding: () => void;
  /** A frame that met a mistake of ours: it ends its connection, and no other. */
  readonly onError: (error: unknown) => void;
}

/** An agent that says nothing for this long is given up. */
const silenceMs = 3 * heartbeatMs;
/** How long an agent may take to answer our close before the socket is cut. */
const closeTimeoutMs = 2000;
const binaryFrame: Closing = { code: 1003, reason: 'binary frame: frames are JSON text' };
/** They name all that a node holds, and may be longer than other frames. */
const long: ReadonlySet<string> = new Set<AgentMessage['type']>(['hello', 'held', 'heldDelta']);
const tooLong: Closing = {
  code: 1009,
  reason: `payload size: at most ${frameLimitBytes} bytes, but for ${[...long].join(', ')}`,
};
const tickFrame = frameOf('{"type":"tick"}');

export class Connection implements Wire {
  readonly request: IncomingMessage;
  session: Session | null = null;
  /** The node that said hello while this controller stood by: it has no session until it rules. */
  standbyNode: string | null = null;
  readonly #input: ConnectionInput;
  #lastHeardMs = performance.now();
  /** By when a hello must have come; null once it has. */
  #helloDueMs: number | null = null;
  /** A closing that we began: nothing that still arrives is listened to. */
  #closing: Closing | null = null;

  constructor(input: ConnectionInput) {
    this.#input = input;
    this.request = input.request;
    this.awaitHello();
  }

  /** The node that has said hello on it. */
  get node(): string | null {
    return this.session?.node.name ?? this.standbyNode;
  }

  get bufferedAmount(): number {
    return this.#input.socket.bufferedAmount;
  }

  /** The closing that was begun, by us or by ws for a frame that it does not take. */
  get closing(): Closing | null {
    return this.#closing;
  }

  send(frame: Buffer): void {
    this.#input.socket.send(frame, this.#sent);
  }

  /** A hello must come from now on, within its time. */
  awaitHello(): void {
    this.#helloDueMs = performance.now() + this.#input.helloTimeoutMs;
  }

  greeted(): void {
    this.#helloDueMs = null;
  }

  /** Says tick, or ends what was silent for too long. Not on time, it may be we who have not listened. */
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

  /** ws closes by itself for what is no frame; code and reason are for our log. */
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

  /** Does something for this connection that ends it, and no other, if it fails by a mistake of ours. */
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
    return { code: 1011, reason: 'the controller failed at this frame; its log says how' };
  }

  readonly #sent = (): void => {
    if (this.bufferedAmount < bufferLimitBytes) this.session?.stream.pump();
  };
}
