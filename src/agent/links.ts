// The streams of an agent: one to every address of every name in --controller, and who of them reaches the
// same controller.

import type { LookupAddress } from 'node:dns';
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
    for (const url of new Set(this.#parts.urls)) this.#open(url);
  }

  /**
   * One where no other stream of its name is, whatever order the name server gives them in. A name that
   * stands for more addresses than there are streams gets more of them.
   */
  addressFor(stream: Connection, addresses: readonly LookupAddress[]): LookupAddress | undefined {
    const { url } = stream;
    const others = this.#streams.filter((other) => other.url === url && other !== stream);
    const wanted = Math.min(addresses.length, streamsPerName);
    for (let mine = others.length + 1; mine < wanted; mine++) this.#open(url);
    return (
      addresses.find(({ address }) => others.every((other) => other.address !== address)) ?? addresses[0]
    );
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

  #open(url: string): void {
    const connection = new Connection(this.#parts, url, this);
    this.#streams.push(connection);
    connection.start();
  }
}
