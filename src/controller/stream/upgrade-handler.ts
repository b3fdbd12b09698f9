// Handles requests for a stream: each is turned away, let in, or kept waiting until Services are read.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Crowd } from './crowd.ts';
import { type Refusal, refuse } from './refuse.ts';
import { notReadYet, type Speaker, whyNoStream } from './upgrade-policy.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface UpgradeHandlerInput {
  /** The speaker of a request, or null if it has no credential or a wrong one. */
  readonly authenticate: (request: IncomingMessage) => Speaker | null;
  /** False until the source was read whole once. */
  readonly isOpen: () => boolean;
  /** A request that opened no stream; strangers can make as many as they like. */
  readonly onTurnedAway: (refusal: Refusal, from: Origin) => void;
  /** A request or a frame that met a mistake of ours: it ends its connection, and no other. */
  readonly onError: (error: unknown) => void;
  /** Connections that may be open at once, those that have not said hello included. */
  readonly connectionLimit: number;
}

/** Whose credential a request has, and which address it came from, as far as that is known. */
export interface Origin {
  readonly node: string | null;
  readonly peer: string | null;
}

/** A request that was let in, and who made it. */
export interface Opening {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly from: Origin;
}

/** What becomes of a request that was let in. */
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

  /** Takes an upgrade request of a server. */
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
    this.#input.onTurnedAway(refusal, from);
    refuse(socket, refusal);
  }

  /** Whatever a stranger sends, the process goes on. */
  #safely(socket: Duplex, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#input.onError(error);
      refuse(socket, { status: 500, reason: 'a mistake of the controller: its log says which' });
    }
  }

  #whyNot(request: IncomingMessage, speaker: Speaker | null): Refusal | null {
    const { isOpen, connectionLimit } = this.#input;
    const isFull = this.#inside.size + this.#early.size >= connectionLimit;
    const isFullForIt = this.#inside.crowd.isFullFor(speaker);
    return whyNoStream(request, { isKnown: speaker !== null, isOpen: isOpen(), isFull, isFullForIt });
  }
}
