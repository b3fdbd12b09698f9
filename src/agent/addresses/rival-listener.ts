// Receives the answers and probes of other hosts, on one packet socket per interface and family. A socket is
// open while an address is probed there.

import { ETH_P_ARP, ETH_P_IPV6 } from '../../dialects/addresses/constants.ts';
import type { Link } from '../../dialects/addresses/links.ts';
import { type Rival, readArpRival, readNeighborRival } from '../../dialects/addresses/probe.ts';
import { arpFilter, neighborFilter } from '../../dialects/addresses/rival-filter.ts';
import type { Native } from '../../host/native.ts';
import { checked, closeLater, openHearing, SystemCallError } from '../../host/socket.ts';
import type { Family } from '../../state/address.ts';

/** A socket is closed this long after its last probe; an answer takes less. */
const quietMs = 2000;

interface OpenSocket {
  readonly fd: number;
  readonly timer: NodeJS.Timeout;
}

export class RivalListener implements Disposable {
  readonly #native: Native;
  readonly #onRival: (rival: Rival, interfaceIndex: number) => void;
  /** By family and interface. */
  readonly #sockets = new Map<string, OpenSocket>();

  constructor(native: Native, onRival: (rival: Rival, interfaceIndex: number) => void) {
    this.#native = native;
    this.#onRival = onRival;
  }

  /** Listens on a link for a while. Returns why that is not possible, or ''. */
  listen(link: Link, family: Family): string {
    const key = `${family} ${link.index}`;
    const known = this.#sockets.get(key);
    known?.timer.refresh();
    if (known !== undefined) return '';
    try {
      const fd = this.#open(link, family);
      this.#sockets.set(key, { fd, timer: setTimeout(() => this.#close(key), quietMs).unref() });
      return '';
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      return `cannot listen for other hosts on ${link.name} (${error.message})`;
    }
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#sockets.keys()]) this.#close(key);
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
    const socket = this.#sockets.get(key);
    if (socket === undefined) return;
    this.#sockets.delete(key);
    clearTimeout(socket.timer);
    this.#native.unwatch(socket.fd);
    closeLater(this.#native, socket.fd);
  }
}
