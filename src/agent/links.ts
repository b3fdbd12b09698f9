// The streams of an agent: one to every address of every name in --controller, and who of them reaches the
// same controller.

import { Connection, type Siblings } from './link.ts';
import type { LinkParts, Stream } from './stream.ts';

/** The most streams an agent keeps to the addresses of one name. */
const streamsPerName = 3;

export class Links implements Disposable, Siblings {
  readonly #parts: LinkParts;
  readonly #streams: Connection[] = [];

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  get streams(): readonly Stream[] {
    return this.#streams;
  }

  start(): void {
    for (const url of new Set(this.#parts.urls)) this.#open(url, 0);
  }

  /** A name that stands for more addresses than there are streams gets more of them. */
  resolved({ url }: Connection, addresses: number): void {
    const mine = this.#streams.filter((stream) => stream.url === url).length;
    for (let next = mine; next < Math.min(addresses, streamsPerName); next++) this.#open(url, next);
  }

  reaching(controller: string, except: Connection): Connection | undefined {
    return this.#streams.find((stream) => stream !== except && stream.controller === controller);
  }

  closed(stream: Connection): void {
    for (const other of this.#streams) other.wake(stream);
  }

  [Symbol.dispose](): void {
    for (const stream of this.#streams) stream.end();
  }

  #open(url: string, slot: number): void {
    const connection = new Connection(this.#parts, url, slot, this);
    this.#streams.push(connection);
    connection.start();
  }
}
