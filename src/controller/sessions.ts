// What each agent message does to the state of the controller. hub.ts calls this with parsed messages, and
// closes the connection if it gets a Closing.

import { type AgentMessage, type HeldVip, type Hello, heldLimit } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { Controller } from './controller.ts';
import { AbsentNodes } from './owners/absent-nodes.ts';
import { isTooMuch } from './owners/claims.ts';
import { changeHeld, setHeld } from './owners/held.ts';
import type { Node } from './owners/node.ts';
import { Refusing } from './owners/refusing.ts';
import { AgentStream, type Wire } from './stream/agent-stream.ts';
import { raisePauseMs } from './terms.ts';
import { inTurns } from './turns.ts';

/** A connection that has said hello. */
export interface Session {
  readonly node: Node;
  readonly stream: AgentStream;
  /** The agent said bye: the end of its connection is expected. */
  isLeaving: boolean;
}

/** Why a connection is closed: the protocol's close code, and a reason for the agent's log. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** The close code for a frame or a node that breaks the rules of docs/protocol.md. */
export const policyViolation = 1008;

const tooMuchHeld: Closing = {
  code: policyViolation,
  reason: `held: expected at most ${heldLimit} VIPs, with those of impossible terms`,
};

export interface SessionEvents {
  /** Our generation was raised above one that a node had heard: every other agent must hear it. */
  readonly generationRaised: (generation: number, node: string) => void;
  readonly refused: (node: string, message: Extract<AgentMessage, { type: 'refused' }>) => void;
  readonly impossibleTerm: (node: string, address: string) => void;
  /** A message of a node was applied. */
  readonly progressed: () => void;
}

export class Sessions {
  readonly #controller: Controller;
  readonly #events: SessionEvents;
  readonly #absent: AbsentNodes;
  readonly #refusing: Refusing;

  constructor(controller: Controller, events: SessionEvents) {
    this.#controller = controller;
    this.#absent = new AbsentNodes(controller);
    this.#refusing = new Refusing(controller, (node, message) => events.refused(node, message));
    this.#events = events;
  }

  /** Compares a hello's generation with ours, and may raise ours. Returns a Closing if it is refused. */
  hear(hello: Hello): Closing | null {
    const controller = this.#controller;
    const heard = controller.terms.hear(hello);
    if (heard === 'impossible') {
      const reason = `generation: ImpossibleTerm: ${hello.generation}, here is ${controller.generation}`;
      return { code: policyViolation, reason };
    }
    if (heard === 'tooSoon') {
      const reason = `generation: raised less than ${raisePauseMs / 1000} s ago: try again later`;
      return { code: policyViolation, reason };
    }
    if (heard === 'raised') {
      controller.owners.claims.doubtRecords();
      this.#events.generationRaised(controller.generation, hello.node);
    }
    return null;
  }

  /**
   * Opens the session of a node. The caller has checked the credential, has closed any other connection of
   * the node, and sends welcome before it calls `begin`.
   */
  open(hello: Hello, wire: Wire): Session {
    const { nodes, rules, owners } = this.#controller;
    const node = nodes.at(hello.node);
    this.#absent.returned(node.name);
    const before = node.isConnected ? [] : [...node.held.keys()];
    const stream = new AgentStream(wire, rules, node.placements);
    const gone = node.connect(hello, stream);
    owners.claims.sift(node);
    owners.letGo(node, gone);
    this.#controller.freed(before);
    return { node, stream, isLeaving: false };
  }

  /** A node heard while this controller stood by is told that it rules now, and says hello next. */
  promote(node: string): void {
    this.#controller.terms.welcomed.add(node);
  }

  /** Believes the VIPs that the node holds, and starts to send what it lacks. */
  begin(session: Session): void {
    this.believe(session);
    this.start(session);
  }

  /** Applies what the node holds and refuses. Of many nodes, all are believed before the first is started. */
  believe({ node }: Session): void {
    if (!this.#controller.isPublished || node.hello === null) return;
    const { owners } = this.#controller;
    owners.connected(node);
    inTurns(this.#refusing.before(node), { leastSteps: 1 });
    for (const address of node.impossible) this.#events.impossibleTerm(node.name, address);
  }

  /**
   * Starts to send what the node lacks; the placements that it holds are in its table already. A node with
   * unclaimed recorded VIPs keeps the placements that it has.
   */
  start({ node, stream }: Session): void {
    if (!this.#controller.isPublished || node.hello === null) return;
    stream.begin({ rules: node.hello.rules });
    if (!this.#controller.owners.claims.isSilentTo(node)) node.startPlacements();
    this.#events.progressed();
  }

  /** Called every second: forgets nodes that are gone for good, and asks those again that refused a VIP. */
  tick(): void {
    this.#absent.tick();
    if (this.#refusing.tick()) this.#events.progressed();
  }

  close({ node, stream }: Session): void {
    // A connection that a newer one replaced is not the node's any more.
    if (node.stream === stream) this.#disconnect(node);
  }

  /** Applies one message. Returns a Closing if the agent may not send it. */
  message(session: Session, message: AgentMessage): Closing | null {
    const closing = this.#follow(session, message);
    if (message.type !== 'tick') this.#events.progressed();
    return closing;
  }

  #follow(session: Session, message: AgentMessage): Closing | null {
    const { node } = session;
    switch (message.type) {
      case 'hello':
        return { code: policyViolation, reason: 'type: this connection has already sent hello' };
      case 'ack':
        return this.#acked(session, message);
      case 'refused':
        this.#refusing.refused(node, message);
        return null;
      case 'accepted':
        this.#refusing.accepted(node, message);
        return null;
      case 'held':
        if (isTooMuch(node, { set: message.vips, remove: node.held.keys() })) return tooMuchHeld;
        this.#held(node, message.vips, setHeld(node, message.vips));
        return null;
      case 'heldDelta':
        if (isTooMuch(node, message)) return tooMuchHeld;
        this.#held(node, message.set, changeHeld(node, message));
        return null;
      case 'resync':
        if (this.#controller.isPublished) node.resync(message.table, message.have);
        return null;
      case 'bye':
        session.isLeaving = true;
        return null;
      case 'tick':
        return null;
      default:
        return message satisfies never;
    }
  }

  #held(node: Node, set: readonly HeldVip[], gone: readonly Address[]): void {
    const { owners } = this.#controller;
    if (gone.length > 0) owners.letGo(node, gone);
    owners.heldChanged(node, set);
  }

  #acked({ node, stream }: Session, message: Extract<AgentMessage, { type: 'ack' }>): Closing | null {
    const { table, seq } = message;
    const sent = stream.sentSeq(table);
    if (sent === null || seq > sent) {
      return {
        code: policyViolation,
        reason: `seq: ack of ${table} ${seq}, but the last sent is ${sent ?? 'nothing'}`,
      };
    }
    const before = node.acked[table];
    if (before !== null && seq <= before) return null;
    node.acknowledged(table, seq);
    // The first ack of a connection measures how long the agent was away, not how fast it is.
    if (table === 'rules' && before !== null)
      node.lagMs = this.#controller.latency.acknowledged(seq) ?? node.lagMs;
    const { owners } = this.#controller;
    if (table === 'rules') this.#refusing.acked(node);
    owners.acked(node);
    return null;
  }

  #disconnect(node: Node): void {
    const { owners } = this.#controller;
    node.disconnect();
    owners.gone(node);
    this.#refusing.gone(node);
    if (node.isDeleted) this.#controller.forget(node.name);
    else this.#absent.left(node.name);
  }
}
