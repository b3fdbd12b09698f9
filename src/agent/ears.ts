// Where answers to questions about addresses are heard: on the interface that is asked on, as long as
// something is asked there.

import { advertisementFilter, arpAnswerFilter } from '../dialects/addresses/answer-filter.ts';
import { ETH_P_ARP, IPPROTO_ICMPV6 } from '../dialects/addresses/constants.ts';
import type { Link } from '../dialects/addresses/links.ts';
import { type Answer, readAdvertisement, readArpAnswer } from '../dialects/addresses/probe.ts';
import type { Native } from '../host/native.ts';
import { checked, closeLater, openHearing, SystemCallError } from '../host/socket.ts';
import type { Family } from '../state/address.ts';

/** What nothing was asked through for this long is closed: longer than an answer may take. */
const quietMs = 2000;

interface Ear {
  readonly fd: number;
  readonly timer: NodeJS.Timeout;
}

export class Ears implements Disposable {
  readonly #native: Native;
  readonly #onAnswer: (answer: Answer, interfaceIndex: number) => void;
  /** By family and interface. */
  readonly #ears = new Map<string, Ear>();

  constructor(native: Native, onAnswer: (answer: Answer, interfaceIndex: number) => void) {
    this.#native = native;
    this.#onAnswer = onAnswer;
  }

  /** Hears who answers on a link for a while. Why nobody can be heard there; empty if they can. */
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
        ? [{ of: 'frames', protocol: ETH_P_ARP, filter: arpAnswerFilter(link.index) } as const, readArpAnswer]
        : [{ of: 'ipv6', protocol: IPPROTO_ICMPV6, filter: advertisementFilter } as const, readAdvertisement];
    const fd = openHearing(this.#native, hearing, link);
    const watched = this.#native.watch(fd, (result) => {
      const answer = typeof result === 'number' ? undefined : read(result);
      if (answer !== undefined) this.#onAnswer(answer, link.index);
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
