// Where rivals for addresses that are asked for are heard: on the interface that is asked on, as long as
// something is asked there.

import { ETH_P_ARP, ETH_P_IPV6 } from '../../dialects/addresses/constants.ts';
import type { Link } from '../../dialects/addresses/links.ts';
import { type Rival, readArpRival, readNeighborRival } from '../../dialects/addresses/probe.ts';
import { arpFilter, neighborFilter } from '../../dialects/addresses/rival-filter.ts';
import type { Native } from '../../host/native.ts';
import { checked, closeLater, openHearing, SystemCallError } from '../../host/socket.ts';
import type { Family } from '../../state/address.ts';

/** What nothing was asked through for this long is closed: longer than an answer may take. */
const quietMs = 2000;

interface Ear {
  readonly fd: number;
  readonly timer: NodeJS.Timeout;
}

export class Ears implements Disposable {
  readonly #native: Native;
  readonly #onRival: (rival: Rival, interfaceIndex: number) => void;
  /** By family and interface. */
  readonly #ears = new Map<string, Ear>();

  constructor(native: Native, onRival: (rival: Rival, interfaceIndex: number) => void) {
    this.#native = native;
    this.#onRival = onRival;
  }

  /** Hears who answers or asks on a link for a while. Why nobody can be heard there; empty if they can. */
  listen(link: Link, family: Family): string {
    const key = `${family} ${link.index}`;
    const known = this.#ears.get(key);
    known?.timer.refresh();
    if (known !== undefined) return '';
    try {
      const fd = this.#open(link, family);
      this.#ears.set(key, { fd, timer: setTimeout(() => this.#close(key), quietMs).unref() });
      return '';
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      return `nobody can be heard on ${link.name} (${error.message})`;
    }
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#ears.keys()]) this.#close(key);
  }

  #open(link: Link, family: Family): number {
    const [hearing, read] =
      family === 4
        ? [{ protocol: ETH_P_ARP, filter: arpFilter(link.index) }, readArpRival]
        : [{ protocol: ETH_P_IPV6, filter: neighborFilter(link.index) }, readNeighborRival];
    const fd = openHearing(this.#native, hearing, link);
    const watched = this.#native.watch(fd, (result) => {
      const rival = typeof result === 'number' ? undefined : read(result);
      if (rival !== undefined) this.#onRival(rival, link.index);
    });
    if (watched < 0) closeLater(this.#native, fd);
    checked('watch', watched);
    return fd;
  }

  #close(key: string): void {
    const ear = this.#ears.get(key);
    if (ear === undefined) return;
    this.#ears.delete(key);
    clearTimeout(ear.timer);
    this.#native.unwatch(ear.fd);
    closeLater(this.#native, ear.fd);
  }
}
