// Handles upgrade requests: rejects each, accepts it, or holds it until the Services have been read.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RefusedAgent } from './closed-connections.ts';
import type { Crowd } from './crowd.ts';
import { type Refusal, refuse } from './refuse.ts';
import { notReadYet, type Speaker, whyNoStream } from './upgrade-policy.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface UpgradeHandlerInput {
  /** The speaker of a request; null without a valid credential. */
  readonly authenticate: (request: IncomingMessage) => Speaker | null;
  /** False until the source has been read completely once. */
  readonly isOpen: () => boolean;
  /** Takes a request or connection that became no stream; strangers can make any number of them. */
  readonly onTurnedAway: (refused: RefusedAgent) => void;
  /** Takes an internal error that a request or a frame caused. It ends that connection and no other. */
  readonly onError: (error: unknown) => void;
  /** Most connections that may be open at once, including those that have not said hello. */
  readonly connectionLimit: number;
}

/** The node that a request's credential names, and its peer address; null where unknown. */
export type Origin = Pick<RefusedAgent, 'node' | 'peer'>;

/** An accepted upgrade request. */
export interface Opening {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly from: Origin;
}

/** Opens the streams of accepted requests; the hub. */
export interface Inside {
  readonly size: number;
  readonly crowd: Pick<Crowd, 'isFullFor'>;
  open(opening: Opening): void;
}

export class UpgradeHandler {
  readonly #input: UpgradeHandlerInput;
  readonly #inside: Inside;
  readonly #early: WaitingRoom;

  constructor(input: UpgradeHandlerInput, inside: Inside) {
    this.#input = input;
    this.#inside = inside;
    this.#early = new WaitingRoom(input.isOpen);
  }

  /** Handles an upgrade request of an HTTP server. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    this.#safely(socket, () => {
      const speaker = this.#input.authenticate(request);
      const refusal = this.#whyNot(request, speaker);
      const from = { node: speaker?.node ?? null, peer: request.socket.remoteAddress ?? null };
      const answer = (refusal: Refusal | null): void => {
        if (refusal === null) this.#inside.open({ request, socket, head, from });
        else this.#turnAway(socket, refusal, from);
      };
      if (refusal !== notReadYet) answer(refusal);
      else this.#wait(socket, () => answer(this.#whyNot(request, speaker)));
    });
  }

  terminate(): void {
    this.#early.terminate();
  }

  #wait(socket: Duplex, answer: () => void): void {
    this.#early.add({ socket, answer: () => this.#safely(socket, answer) });
  }

  #turnAway(socket: Duplex, refusal: Refusal, from: Origin): void {
    const { status: code, reason } = refusal;
    this.#input.onTurnedAway({ ...from, code, reason });
    refuse(socket, refusal);
  }

  /** An error ends its request, never the process. */
  #safely(socket: Duplex, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#input.onError(error);
      refuse(socket, { status: 500, reason: 'the controller failed; read its log' });
    }
  }

  #whyNot(request: IncomingMessage, speaker: Speaker | null): Refusal | null {
    const { isOpen, connectionLimit } = this.#input;
    const isFull = this.#inside.size + this.#early.size >= connectionLimit;
    const isFullForIt = this.#inside.crowd.isFullFor(speaker);
    return whyNoStream(request, { isKnown: speaker !== null, isOpen: isOpen(), isFull, isFullForIt });
  }
}
