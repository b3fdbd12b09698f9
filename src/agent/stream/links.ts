// The streams of an agent: one to every address of every name in --controller, and who of them reaches the
// same controller.

import type { LookupAddress } from 'node:dns';
import { Connection, type Siblings } from '../link.ts';
import { hostOf, type LinkParts, type Stream } from './stream.ts';

/** The most streams an agent keeps to the addresses of one name. */
const streamsPerName = 3;

export class Links implements Disposable, Siblings {
  readonly #parts: LinkParts;
  readonly #streams: Connection[] = [];
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  get streams(): readonly Stream[] {
    return this.#streams;
  }

  start(): void {
    for (const url of new Set(this.#parts.urls)) this.#open(url);
    this.#arm();
  }

  /**
   * One where no other stream of its name is, whatever order the name server gives them in. A name that
   * stands for more addresses than there are streams gets more of them.
   */
  addressFor(stream: Connection, addresses: readonly LookupAddress[]): LookupAddress | undefined {
    const { url } = stream;
    this.#openFor(url, addresses);
    const others = new Set(this.#of(url).flatMap((other) => (other === stream ? [] : placesOf(other))));
    const free = addresses.filter(({ address }) => !others.has(address));
    return free.find(({ address }) => address !== stream.avoids) ?? free[0] ?? addresses[0];
  }

  reaching(controller: string, except: Connection): Connection | undefined {
    return this.#streams.find((stream) => stream !== except && stream.controller === controller);
  }

  closed(stream: Connection): void {
    for (const other of this.#streams) other.wake(stream);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const stream of this.#streams) stream.end();
  }

  /** Streams that are open, or dormant, ask no name server: what it says by now is asked for them. */
  #arm(): void {
    const { lookAgainMs } = this.#parts;
    const look = async () => {
      await Promise.all([...new Set(this.#parts.urls)].map((url) => this.#lookAgain(url)));
      if (!this.#ended) this.#arm();
    };
    // Agents that began together do not ask together.
    this.#timer = setTimeout(() => void look(), lookAgainMs * (0.5 + Math.random() / 2)).unref();
  }

  /** A controller that came since is reached by a stream that is dormant, or by another one. */
  async #lookAgain(url: string): Promise<void> {
    const host = hostOf(url);
    const addresses = await this.#parts.lookup(host).catch(() => []);
    if (this.#ended) return;
    const dormant = this.#of(url).find(({ state }) => state === 'dormant');
    if (this.#spare(url, addresses) <= 0) return;
    if (dormant === undefined) this.#openFor(url, addresses);
    else dormant.rouse();
  }

  #of(url: string): Connection[] {
    return this.#streams.filter((stream) => stream.url === url);
  }

  /** How many of the addresses no stream is at, nor on its way to. */
  #spare(url: string, addresses: readonly LookupAddress[]): number {
    const streams = this.#of(url);
    const places = new Set(streams.flatMap(placesOf));
    const searching = streams.filter(({ address, state }) => address === undefined && state !== 'dormant');
    return addresses.filter(({ address }) => !places.has(address)).length - searching.length;
  }

  #openFor(url: string, addresses: readonly LookupAddress[]): void {
    const room = streamsPerName - this.#of(url).length;
    for (let more = Math.min(room, this.#spare(url, addresses)); more > 0; more--) this.#open(url);
  }

  #open(url: string): void {
    const connection = new Connection(this.#parts, url, this);
    this.#streams.push(connection);
    connection.start();
  }
}

/** Where a stream is, and where it would reach what another one reaches. */
function placesOf({ address, avoids }: Connection): string[] {
  return [address, avoids].filter((place) => place !== undefined);
}
