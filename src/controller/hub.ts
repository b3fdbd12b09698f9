// The WebSocket server of `/agent`: the only file that knows ws. Who is let in, and which connection is a
// node's. The life of one is in connection.ts, what it says in sessions.ts, what it is sent in
// agent-stream.ts.

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  type AgentMessage,
  type Hello,
  heartbeatMs,
  heldFrameLimitBytes,
  replacedReason,
  subprotocol,
} from '../protocol/messages.ts';
import { type Closing, type HubEvent, policyViolation, type Session, type Sessions } from './sessions.ts';
import { Connection, type Socket } from './stream/connection.ts';
import { Crowd, tooMuchUnheard } from './stream/crowd.ts';
import {
  type Opening,
  type Origin,
  UpgradeHandler,
  type UpgradeHandlerInput,
} from './stream/upgrade-handler.ts';
import { whyStranger } from './stream/upgrade-policy.ts';
import { type Self, welcomeFrame } from './stream/welcome.ts';
import { inTurns, TurnQueue } from './turns.ts';

export interface HubInput extends UpgradeHandlerInput {
  readonly sessions: Sessions;
  readonly self: () => Self;
  readonly onEvent: (event: HubEvent) => void;
  readonly helloTimeoutMs: number;
}

export class Hub {
  readonly #input: HubInput;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<Connection>();
  /** The connection that said hello last, by node. */
  readonly #speakers = new Map<string, Connection>();
  /** Who has said hello and waits for what it lacks: one is given its megabyte, then others are heard. */
  readonly #beginners: TurnQueue<Session>;
  readonly #upgrades: UpgradeHandler;
  readonly crowd: Crowd = new Crowd();
  #tickedMs = performance.now();

  constructor(input: HubInput) {
    this.#input = input;
    const { sessions } = input;
    const begin = (session: Session) => {
      const { node, stream } = session;
      if (node.stream === stream) this.#speakers.get(node.name)?.safely(() => sessions.begin(session));
    };
    this.#beginners = new TurnQueue(begin, { leastSteps: 1, isLater: true });
    this.#upgrades = new UpgradeHandler(input, this);
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: heldFrameLimitBytes,
      handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    });
  }

  /** Connections at this moment. */
  get size(): number {
    return this.#connections.size;
  }

  /** Opens the stream of a request that was let in. */
  open(opening: Opening): void {
    const { request, socket, head } = opening;
    this.#server.handleUpgrade(request, socket, head, (one) => this.#accept(one, opening));
  }

  /** Takes the upgrade requests of a server. */
  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrades.handle(request, socket, head);
    });
  }

  /** Called every heartbeatMs: says tick, and ends what has been silent for too long. */
  tick(): void {
    const now = performance.now();
    // If we were stopped ourselves, silence means nothing: what the agents said is still in the sockets.
    const wasOnTime = now - this.#tickedMs < heartbeatMs * 1.5;
    this.#tickedMs = now;
    inTurns(this.#tickEach(now, wasOnTime));
  }

  /**
   * The first believed reading is there: agents that were waiting are told. Those that were heard while this
   * controller stood by are welcomed by one that rules, and say hello again with what they have by now.
   */
  begin(): void {
    // Whoever says hello from now on is told at once.
    const waiting = [...this.#connections].filter(({ session, standbyNode }) => session ?? standbyNode);
    inTurns(this.#beginEach(waiting), { leastSteps: 1 });
  }

  /**
   * Closes the connections of all nodes, so that they say hello again. One that is saying it now is no node's
   * yet.
   */
  closeAll(closing: Closing): void {
    for (const connection of this.#connections) if (connection.session !== null) connection.close(closing);
  }

  /** Credentials have changed: closes the connections whose own is gone, or is another's now. */
  recheck(): void {
    for (const connection of this.#connections) {
      const { node, request } = connection;
      const stranger = node && whyStranger(this.#input.authenticate(request), node);
      if (stranger) connection.close(stranger);
    }
  }

  terminate(): void {
    this.#upgrades.terminate();
    for (const connection of this.#connections) connection.terminate();
    this.#server.close();
  }

  *#tickEach(now: number, wasOnTime: boolean): Generator<void, void> {
    for (const connection of this.#connections) {
      connection.tick(now, wasOnTime);
      yield;
    }
  }

  *#beginEach(waiting: readonly Connection[]): Generator<void, void> {
    const { sessions, self } = this.#input;
    const open = () => waiting.filter((connection) => this.#connections.has(connection));
    for (const { session } of open()) {
      if (session !== null) sessions.believe(session);
      yield;
    }
    for (const connection of open()) {
      const { session, standbyNode } = connection;
      if (session !== null) sessions.start(session);
      else if (standbyNode !== null) {
        sessions.promote(standbyNode);
        connection.awaitHello();
        connection.send(welcomeFrame(self()));
      }
      yield;
    }
  }

  #accept(socket: WebSocket, { request, socket: wire, from }: Opening): void {
    const { sessions, helloTimeoutMs, onError } = this.#input;
    const connection: Connection = new Connection({
      ...{ socket: socketOf(socket, wire), request, helloTimeoutMs, onError },
      follow: (message) => this.#follow(connection, message),
      onEnding: () => connection.session !== null && sessions.close(connection.session),
    });
    this.#connections.add(connection);
    const onTooMuch = () => {
      connection.close(tooMuchUnheard);
      connection.terminate();
    };
    const stay = this.crowd.enter({ node: from.node, wire, onTooMuch });
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      connection.heard(data, isBinary);
      if (connection.node !== null) stay.heard();
    });
    socket.on('error', (error) => connection.broke(error));
    socket.on('close', (code) => {
      stay.left();
      this.#closed(connection, { code, from });
    });
  }

  #follow(connection: Connection, message: AgentMessage): Closing | null {
    if (connection.session !== null) return this.#input.sessions.message(connection.session, message);
    if (message.type === 'hello') return this.#greet(connection, message);
    // All that an agent has to say to one that stands by is that it is there, or that it goes.
    const isIdle = message.type === 'tick' || message.type === 'bye';
    if (isIdle && connection.standbyNode !== null) return null;
    return { code: policyViolation, reason: `type: expected hello first, got ${message.type}` };
  }

  #greet(connection: Connection, hello: Hello): Closing | null {
    const { self, sessions, onEvent, authenticate } = this.#input;
    // Who was heard before is still the same; a token that was good then may have expired since.
    const isKnown = connection.standbyNode === hello.node;
    const stranger = whyStranger(authenticate(connection.request), hello.node);
    if (stranger !== null && !isKnown) return stranger;
    const { ruling } = self();
    const refusal = ruling ? sessions.hear(hello) : null;
    if (refusal !== null) return refusal;
    connection.greeted();
    this.#replace(connection, hello.node);
    if (ruling) connection.session = sessions.open(hello, connection);
    else connection.standbyNode = hello.node;
    connection.send(welcomeFrame(self()));
    if (connection.session !== null) this.#beginners.add([connection.session]);
    onEvent({ event: ruling ? 'agentConnected' : 'agentHeard', node: hello.node });
    return null;
  }

  /** One connection a node, whether this controller rules or stands by: the one that said hello last. */
  #replace(connection: Connection, node: string): void {
    this.#unname(connection);
    const before = this.#speakers.get(node);
    this.#speakers.set(node, connection);
    before?.close({ code: policyViolation, reason: `${replacedReason} as ${node}` });
  }

  #unname(connection: Connection): void {
    const { node } = connection;
    if (node !== null && this.#speakers.get(node) === connection) this.#speakers.delete(node);
  }

  #closed(connection: Connection, { code, from }: { code: number; from: Origin }): void {
    this.#connections.delete(connection);
    const { session, closing, node } = connection;
    this.#unname(connection);
    if (session !== null) this.#input.sessions.close(session);
    const reason = closing?.reason ?? (session?.isLeaving === true ? 'bye' : 'the connection ended');
    this.#input.onEvent({
      ...(node === null ? { event: 'agentRefused', peer: from.peer } : { event: 'agentClosed' }),
      // By the credential that it came with: a socket that is closed has no certificate any more.
      node: node ?? from.node,
      code: closing?.code ?? code,
      reason,
    });
  }
}

/** ws reads, and closes; frames are whole when they come here, and are written past it. */
function socketOf(socket: WebSocket, wire: Duplex): Socket {
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (frame, sent) => {
      if (socket.readyState === socket.OPEN) wire.write(frame, sent);
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  };
}
