// Limits connections: how many one credential may have, and how many bytes connections without a credential
// may send before their hellos.

import type { Duplex } from 'node:stream';
import { heldFrameLimitBytes } from '../../protocol/messages.ts';
import type { Closing } from '../sessions.ts';
import type { Speaker } from './upgrade-policy.ts';

/** Most connections of one credential: its node uses one, and a network failure leaves some behind. */
export const mostOfNode = 8;

/**
 * Most bytes read from all connections without a credential before their hellos: a few of the longest hellos,
 * or many shorter ones.
 */
export const unheardLimitBytes: number = 4 * heldFrameLimitBytes;

export const tooMuchUnheard: Closing = {
  code: 1009,
  reason: 'too many bytes from connections without a hello',
};

/** A new connection. */
export interface Guest {
  readonly node: string | null;
  readonly wire: Duplex;
  /** Called to end it when connections without a hello have sent more than unheardLimitBytes together. */
  readonly onTooMuch: () => void;
}

/** A connection without a credential that has not said hello. */
interface Unheard {
  readBytes: number;
  readonly onTooMuch: () => void;
}

/** Callbacks for the further life of a connection. */
export interface Stay {
  /** The connection has said hello. */
  readonly heard: () => void;
  readonly left: () => void;
}

export class Crowd {
  readonly #counts = new Map<string, number>();
  /** The oldest first. */
  readonly #unheard = new Set<Unheard>();
  #unheardBytes = 0;

  /** True if the speaker's credential has as many connections as it may. */
  isFullFor(speaker: Speaker | null): boolean {
    const node = speaker?.node ?? null;
    return node !== null && (this.#counts.get(node) ?? 0) >= mostOfNode;
  }

  enter({ node, wire, onTooMuch }: Guest): Stay {
    if (node !== null) {
      this.#count(node, 1);
      return { heard: () => undefined, left: () => this.#count(node, -1) };
    }
    const one: Unheard = { readBytes: 0, onTooMuch };
    this.#unheard.add(one);
    const onData = (chunk: Buffer): void => {
      // A listener that is removed meanwhile is still called for the chunk that brought the hello.
      if (!this.#unheard.has(one)) return;
      one.readBytes += chunk.length;
      this.#unheardBytes += chunk.length;
      this.#makeRoom();
    };
    const heard = (): void => {
      this.#forget(one);
      wire.off('data', onData);
    };
    wire.on('data', onData);
    return { heard, left: heard };
  }

  /** Ends the oldest ones that have sent anything: those that are slow keep no newcomer out. */
  #makeRoom(): void {
    for (const one of this.#unheard) {
      if (this.#unheardBytes <= unheardLimitBytes) return;
      if (one.readBytes === 0) continue;
      this.#forget(one);
      one.onTooMuch();
    }
  }

  #forget(one: Unheard): void {
    if (this.#unheard.delete(one)) this.#unheardBytes -= one.readBytes;
  }

  #count(node: string, more: 1 | -1): void {
    const count = (this.#counts.get(node) ?? 0) + more;
    if (count === 0) this.#counts.delete(node);
    else this.#counts.set(node, count);
  }
}
