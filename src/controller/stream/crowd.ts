// What connections may make a controller keep before it knows who speaks on them: how many one credential
// has, and what is read of those without any before their hellos.

import type { Duplex } from 'node:stream';
import { heldFrameLimitBytes } from '../../protocol/messages.ts';
import type { Closing } from '../sessions.ts';
import type { Speaker } from './upgrade-policy.ts';

/** Connections of one credential: its node has one, and leaves some behind where its network fails. */
export const mostOfNode = 8;

/** What is kept of all that need no credential, before their hellos: a few of the longest, or many others. */
export const unheardLimitBytes: number = 4 * heldFrameLimitBytes;

export const tooMuchUnheard: Closing = {
  code: 1009,
  reason: 'too much of too many that have said no hello',
};

/** A connection that came. */
export interface Guest {
  readonly node: string | null;
  readonly wire: Duplex;
  /** More is read of those who have said nothing than is kept for them. */
  readonly onTooMuch: () => void;
}

/** What becomes of it. */
export interface Stay {
  /** It has said who it is. */
  readonly heard: () => void;
  readonly left: () => void;
}

export class Crowd {
  readonly #counts = new Map<string, number>();
  #unheardBytes = 0;

  /** True if whoever speaks by a credential has as many connections as it may. */
  isFullFor(speaker: Speaker | null): boolean {
    const node = speaker?.node ?? null;
    return node !== null && (this.#counts.get(node) ?? 0) >= mostOfNode;
  }

  enter({ node, wire, onTooMuch }: Guest): Stay {
    if (node !== null) {
      this.#count(node, 1);
      return { heard: () => undefined, left: () => this.#count(node, -1) };
    }
    let readBytes = 0;
    let isUnheard = true;
    const onData = (chunk: Buffer): void => {
      // A listener that was taken off meanwhile is still called for the chunk that brought the hello.
      if (!isUnheard) return;
      readBytes += chunk.length;
      this.#unheardBytes += chunk.length;
      if (this.#unheardBytes > unheardLimitBytes) onTooMuch();
    };
    const heard = (): void => {
      if (isUnheard) this.#unheardBytes -= readBytes;
      isUnheard = false;
      wire.off('data', onData);
    };
    wire.on('data', onData);
    return { heard, left: heard };
  }

  #count(node: string, more: 1 | -1): void {
    const count = (this.#counts.get(node) ?? 0) + more;
    if (count === 0) this.#counts.delete(node);
    else this.#counts.set(node, count);
  }
}
