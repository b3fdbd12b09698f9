// The streams of an agent: one to each address of each name in --controller. Knows which of them reach the
// same controller.

import type { LookupAddress } from 'node:dns';
import { Connection } from '../link.ts';
import { hostOf, type Sibling, type Siblings, type Stream, type StreamsParts } from './stream.ts';

/** The most streams an agent keeps to the addresses of one name. */
const streamsPerName = 3;

export class Streams implements Disposable, Siblings {
  readonly #parts: StreamsParts;
  readonly #streams: Connection[] = [];
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  get all(): readonly Stream[] {
    return this.#streams;
  }

  start(): void {
    for (const url of new Set(this.#parts.urls)) this.#open(url);
    this.#arm();
  }

  /**
   * An address that no other stream of the name uses, whatever the order of the DNS answer. Opens more
   * streams if the name has more addresses than streams.
   */
  addressFor(stream: Sibling, addresses: readonly LookupAddress[]): LookupAddress | undefined {
    const { url } = stream;
    this.#openFor(url, addresses);
    const others = new Set(this.#of(url).flatMap((other) => (other === stream ? [] : placesOf(other))));
    const free = addresses.filter(({ address }) => !others.has(address));
    return free.find(({ address }) => address !== stream.avoids) ?? free[0] ?? addresses[0];
  }

  reaching(controller: string, except: Sibling): Sibling | undefined {
    return this.#streams.find((stream) => stream !== except && stream.controller === controller);
  }

  closed(stream: Sibling): void {
    for (const other of this.#streams) other.wake(stream);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const stream of this.#streams) stream.end();
  }

  /** Repeats the lookups: open and dormant streams make none of their own. */
  #arm(): void {
    const { lookAgainMs } = this.#parts;
    const look = async () => {
      await Promise.all([...new Set(this.#parts.urls)].map((url) => this.#lookAgain(url)));
      if (!this.#ended) this.#arm();
    };
    // Jitter, so that agents that started together do not ask together.
    this.#timer = setTimeout(() => void look(), lookAgainMs * (0.5 + Math.random() / 2)).unref();
  }

  /** Wakes a dormant stream for an unused address, or opens another stream. */
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

  /** How many of the addresses no stream uses or is about to choose. */
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

/** The address of a stream, and the one where it would reach another stream's controller. */
function placesOf({ address, avoids }: Sibling): string[] {
  return [address, avoids].filter((place) => place !== undefined);
}
