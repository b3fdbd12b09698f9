// The WebSocket server of `/agent`, and the only file that imports ws. It lets agents in and knows the
// connection of each node. See connection.ts for its life, sessions.ts for what agents say, agent-stream.ts
// for what they get.

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  type AgentMessage,
  type Hello,
  heartbeatMs,
  heldFrameLimitBytes,
  subprotocol,
} from '../protocol/messages.ts';
import { type Closing, policyViolation, type Session, type Sessions } from './sessions.ts';
import { Connection, replacedBy, type Socket } from './stream/connection.ts';
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
  /** The hello of a node was accepted. */
  readonly onGreeted: (node: string) => void;
  /** A connection ended that was a node's stream; if it never was, onTurnedAway is called instead. */
  readonly onClosed: (node: string, how: Closing) => void;
  readonly helloTimeoutMs: number;
}

export class Hub {
  readonly #input: HubInput;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<Connection>();
  /** The last connection to say hello, by node. */
  readonly #speakers = new Map<string, Connection>();
  /** Sessions that wait for their first data, up to a megabyte each: other work runs between two of them. */
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

  /** The number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Completes the upgrade of a request that was let in. */
  open(opening: Opening): void {
    const { request, socket, head } = opening;
    this.#server.handleUpgrade(request, socket, head, (one) => this.#accept(one, opening));
  }

  /** Handles the upgrade requests of a server. */
  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrades.handle(request, socket, head);
    });
  }

  /** Called every heartbeatMs: sends tick, and ends connections that were silent for too long. */
  tick(): void {
    const now = performance.now();
    // If this process was stopped, silence means nothing: the agents' messages are still in the sockets.
    const wasOnTime = now - this.#tickedMs < heartbeatMs * 1.5;
    this.#tickedMs = now;
    this.#input.sessions.tick();
    inTurns(this.#tickEach(now, wasOnTime));
  }

  /**
   * Called when the first reading is believed: sends it to the waiting agents. Agents that said hello while
   * this controller stood by get its welcome as ruler, and say hello again with their present state.
   */
  begin(): void {
    // An agent that says hello from now on is served at once.
    const waiting = [...this.#connections].filter(({ session, standbyNode }) => session ?? standbyNode);
    inTurns(this.#beginEach(waiting), { leastSteps: 1 });
  }

  /**
   * Closes the connections of all nodes, so that they say hello again. A connection without a session, whose
   * hello is being handled, stays open.
   */
  closeAll(closing: Closing): void {
    for (const connection of this.#connections) if (connection.session !== null) connection.close(closing);
  }

  /** Called when credentials changed: closes connections whose credential is gone or names another node. */
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
      socket: socketOf(socket, wire),
      request,
      helloTimeoutMs,
      onError,
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
    socket.on('close', (code, said) => {
      stay.left();
      this.#closed(connection, code, said.toString(), from);
    });
  }

  #follow(connection: Connection, message: AgentMessage): Closing | null {
    if (connection.session !== null) return this.#input.sessions.message(connection.session, message);
    if (message.type === 'hello') return this.#greet(connection, message);
    // To a standby an agent may say only that it is there, or that it leaves.
    const isIdle = message.type === 'tick' || message.type === 'bye';
    if (isIdle && connection.standbyNode !== null) return null;
    return { code: policyViolation, reason: `type: expected hello first, got ${message.type}` };
  }

  #greet(connection: Connection, hello: Hello): Closing | null {
    const { self, sessions, onGreeted, authenticate } = this.#input;
    // An agent heard during standby keeps its connection, though its token may have expired since.
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
    onGreeted(hello.node);
    return null;
  }

  /** Keeps one connection a node, ruling or standing by: closes the one that said hello before. */
  #replace(connection: Connection, node: string): void {
    this.#unname(connection);
    const before = this.#speakers.get(node);
    this.#speakers.set(node, connection);
    before?.close(replacedBy(connection, node));
  }

  #unname(connection: Connection): void {
    const { node } = connection;
    if (node !== null && this.#speakers.get(node) === connection) this.#speakers.delete(node);
  }

  /** `said` is the peer's reason: only that of a node is believed. */
  #closed(connection: Connection, code: number, said: string, from: Origin): void {
    this.#connections.delete(connection);
    const { session, closing, node } = connection;
    this.#unname(connection);
    if (session !== null) this.#input.sessions.close(session);
    const reason = session?.isLeaving === true ? 'bye' : (node !== null && said) || 'the connection ended';
    const how = closing ?? { code, reason };
    if (node !== null) this.#input.onClosed(node, how);
    // Named by the credential of its upgrade: a closed socket has no certificate any more.
    else this.#input.onTurnedAway({ ...from, ...how });
  }
}

/** ws reads frames and closes; outgoing frames are complete, and are written to the TCP socket directly. */
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
