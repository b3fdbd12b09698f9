// The WebSocket server of `/agent`: the only file that knows ws. Handshakes, frames, heartbeats and closings;
// what a message means is in sessions.ts, what is sent in stream.ts.

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type AgentMessage, frameLimitBytes, heartbeatMs, subprotocol } from '../protocol/messages.ts';
import { parseAgentMessage } from '../protocol/parse.ts';
import { FrameError } from '../protocol/shape.ts';
import { codeOfFraming, type Refusal, refuse, shortReason } from './refuse.ts';
import { type Closing, type HubEvent, policyViolation, type Session, type Sessions } from './sessions.ts';
import { bufferLimitBytes, silenceMs, type Wire } from './stream.ts';
import { type Speaker, whyNoStream, whyStranger } from './upgrade.ts';
import { type Self, welcomeFrame } from './welcome.ts';

export interface HubInput {
  readonly sessions: Sessions;
  /** The speaker of a request, or null if it has no credential or a wrong one. */
  readonly authenticate: (request: IncomingMessage) => Speaker | null;
  /** False until the source was read whole once. */
  readonly isOpen: () => boolean;
  readonly self: () => Self;
  readonly onEvent: (event: HubEvent) => void;
  /** A request that opened no stream; not for the log, which strangers could fill. */
  readonly onTurnedAway: (refusal: Refusal, node: string | null) => void;
  /** A frame that met a mistake of ours: it ends its connection, and no other. */
  readonly onError: (error: unknown) => void;
  /** Connections that may be open at once, those that have not said hello included. */
  readonly connectionLimit: number;
  readonly helloTimeoutMs: number;
}

/** How long an agent may take to answer our close before the socket is cut. */
const closeTimeoutMs = 2000;
const binaryFrame: Closing = { code: 1003, reason: 'binary frame: frames are JSON text' };
const sendOptions = { binary: false, compress: false, fin: true } as const;
const tickFrame = Buffer.from('{"type":"tick"}');

interface Connection {
  readonly socket: WebSocket;
  /** Its credential, to be looked at again when it is heard that credentials have changed. */
  readonly request: IncomingMessage;
  readonly wire: Wire;
  session: Session | null;
  /** The node that said hello while this controller stood by: it has no session until it rules. */
  standbyNode: string | null;
  lastHeardMs: number;
  /** By when a hello must have come; null once it has. */
  helloDueMs: number | null;
  /** A closing that we began: nothing that still arrives is listened to. */
  closing: Closing | null;
}

export class Hub {
  readonly #input: HubInput;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<Connection>();
  #tickedMs = performance.now();

  constructor(input: HubInput) {
    this.#input = input;
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: frameLimitBytes,
      handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    });
  }

  /** Connections at this moment. */
  get size(): number {
    return this.#connections.size;
  }

  /** Takes the upgrade requests of a server. */
  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => undefined);
      const { authenticate, isOpen, connectionLimit, onTurnedAway } = this.#input;
      const isFull = this.#connections.size >= connectionLimit;
      const speaker = authenticate(request);
      const refusal = whyNoStream(request, { isKnown: speaker !== null, isOpen: isOpen(), isFull });
      if (refusal === null)
        return this.#server.handleUpgrade(request, socket, head, (one) => this.#accept(one, request));
      onTurnedAway(refusal, speaker?.node ?? null);
      return refuse(socket, refusal);
    });
  }

  /** Called every heartbeatMs: says tick, and ends what has been silent for too long. */
  tick(): void {
    const now = performance.now();
    // If we were stopped ourselves, silence means nothing: what the agents said is still in the sockets.
    const wasOnTime = now - this.#tickedMs < heartbeatMs * 1.5;
    this.#tickedMs = now;
    for (const connection of this.#connections) {
      if (!wasOnTime) connection.lastHeardMs = now;
      if (connection.helloDueMs !== null && now > connection.helloDueMs) {
        const reason = `no hello within ${this.#input.helloTimeoutMs} ms`;
        this.#close(connection, { code: policyViolation, reason });
      } else if (nodeOf(connection) === null) continue;
      else if (now - connection.lastHeardMs > silenceMs) {
        this.#close(connection, { code: policyViolation, reason: `nothing heard for ${silenceMs} ms` });
        connection.socket.terminate();
      } else if (connection.socket.bufferedAmount < bufferLimitBytes) {
        connection.wire.send(tickFrame);
      }
    }
  }

  /**
   * The first believed reading is there: agents that were waiting are told. Those that were heard while this
   * controller stood by are welcomed by one that rules, and say hello again with what they have by now.
   */
  begin(): void {
    const { sessions, self, helloTimeoutMs } = this.#input;
    for (const connection of this.#connections) {
      const { session, standbyNode, wire } = connection;
      if (session !== null) sessions.begin(session);
      if (session !== null || standbyNode === null) continue;
      sessions.promote(standbyNode);
      connection.helloDueMs = performance.now() + helloTimeoutMs;
      wire.send(welcomeFrame(self()));
    }
  }

  /**
   * Closes the connections of all nodes, so that they say hello again. One that is saying it now is no node's
   * yet.
   */
  closeAll(closing: Closing): void {
    for (const connection of this.#connections) {
      if (connection.session !== null) this.#close(connection, closing);
    }
  }

  /** Credentials have changed: closes the connections whose own is gone, or is another's now. */
  recheck(): void {
    for (const connection of this.#connections) {
      const name = nodeOf(connection);
      const stranger = name && whyStranger(this.#input.authenticate(connection.request), name);
      if (stranger) this.#close(connection, stranger);
    }
  }

  terminate(): void {
    for (const { socket } of this.#connections) socket.terminate();
    this.#server.close();
  }

  #accept(socket: WebSocket, request: IncomingMessage): void {
    const now = performance.now();
    let connection: Connection;
    const sent = () => {
      if (socket.bufferedAmount < bufferLimitBytes) connection.session?.stream.pump();
    };
    const wire: Wire = {
      send: (frame) => socket.send(frame, sendOptions, sent),
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
      close: (code, reason) => this.#close(connection, { code, reason }),
    };
    connection = {
      ...{ socket, request, wire, session: null, standbyNode: null },
      ...{ lastHeardMs: now, helloDueMs: now + this.#input.helloTimeoutMs, closing: null },
    };
    this.#connections.add(connection);
    socket.on('message', (data: Buffer, isBinary: boolean) => this.#heard(connection, data, isBinary));
    // ws closes by itself for these; code and reason are for our log.
    socket.on('error', (error) => {
      connection.closing ??= { code: codeOfFraming(error), reason: error.message };
    });
    socket.on('close', (code) => this.#closed(connection, code));
  }

  #heard(connection: Connection, data: Buffer, isBinary: boolean): void {
    if (connection.closing !== null) return;
    connection.lastHeardMs = performance.now();
    const closing = isBinary ? binaryFrame : this.#follow(connection, data);
    if (closing !== null) this.#close(connection, closing);
  }

  #follow(connection: Connection, data: Buffer): Closing | null {
    try {
      const message = parseAgentMessage(data.toString('utf8'));
      if (connection.session === null) return this.#greet(connection, message);
      return this.#input.sessions.message(connection.session, message);
    } catch (error) {
      if (error instanceof FrameError) return { code: policyViolation, reason: error.message };
      this.#input.onError(error);
      return { code: 1011, reason: 'the controller failed at this frame; its log says how' };
    }
  }

  #greet(connection: Connection, message: AgentMessage): Closing | null {
    if (message.type !== 'hello') {
      // All that an agent has to say to one that stands by is that it is there, or that it goes.
      if (connection.standbyNode !== null && (message.type === 'tick' || message.type === 'bye')) return null;
      return { code: policyViolation, reason: `type: expected hello first, got ${message.type}` };
    }
    // Who was heard before is still the same; a token that was good then may have expired since.
    const isKnown = connection.standbyNode === message.node;
    const stranger = whyStranger(this.#input.authenticate(connection.request), message.node);
    if (stranger !== null && !isKnown) return stranger;
    const { self, sessions, onEvent } = this.#input;
    connection.helloDueMs = null;
    if (!self().ruling) {
      connection.standbyNode = message.node;
      connection.wire.send(welcomeFrame(self()));
      onEvent({ event: 'agentHeard', node: message.node });
      return null;
    }
    const session = sessions.open(message, connection.wire);
    if (!('node' in session)) return session;
    connection.session = session;
    connection.wire.send(welcomeFrame(self()));
    sessions.begin(session);
    onEvent({ event: 'agentConnected', node: message.node });
    return null;
  }

  #close(connection: Connection, closing: Closing): void {
    if (connection.closing !== null) return;
    connection.closing = closing;
    connection.socket.close(closing.code, shortReason(closing.reason));
    setTimeout(() => connection.socket.terminate(), closeTimeoutMs).unref();
    if (connection.session !== null) this.#input.sessions.close(connection.session);
  }

  #closed(connection: Connection, code: number): void {
    this.#connections.delete(connection);
    const { session, closing } = connection;
    if (session !== null) this.#input.sessions.close(session);
    const reason = closing?.reason ?? (session?.isLeaving === true ? 'bye' : 'the connection ended');
    const name = nodeOf(connection);
    this.#input.onEvent({
      event: name === null ? 'agentRefused' : 'agentClosed',
      node: name ?? this.#input.authenticate(connection.request)?.node ?? null,
      code: closing?.code ?? code,
      reason,
    });
  }
}

/** The node that has said hello on a connection. */
function nodeOf({ session, standbyNode }: Connection): string | null {
  return session?.node.name ?? standbyNode;
}
