// First claims: whether somebody answers for an address already, asked on its link before it is taken. What
// is asked for is not usable yet; nothing waits for it.

import { advertisementFilter, arpAnswerFilter } from '../dialects/addresses/answer-filter.ts';
import { ETH_P_ARP, IPPROTO_ICMPV6 } from '../dialects/addresses/constants.ts';
import { etherTypeOf } from '../dialects/addresses/frames.ts';
import { type Answer, probeFrame, readAdvertisement, readArpAnswer } from '../dialects/addresses/probe.ts';
import type { Native } from '../host/native.ts';
import { type Hearing, linkAddress, openHearing } from '../host/socket.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';
import { Bursts } from './bursts.ts';
import type { Network } from './network.ts';

/** A question is answered within this, or not at all. */
const answerWithinMs = 300;
/** So many answered questions are a stranger, as many unanswered ones are nobody: at most three are asked. */
const decisive = 2;
/** So long a finding may be used; after that the address is asked for anew. */
const findingMs = 1000;
const MSG_DONTWAIT = 0x40;

/** What is known of an address on its link: nothing yet, that it is free, or the hardware of who has it. */
export type Finding = 'asking' | 'free' | { readonly mac: string };

interface Inquiry {
  readonly held: HeldAddress;
  finding: Finding;
  answered: number;
  unanswered: number;
  /** Who answered the question that was asked last. */
  mac: string | null;
  timer: NodeJS.Timeout | undefined;
}

export class Prober implements Disposable {
  readonly #native: Native;
  readonly #network: Network;
  readonly #onFound: (address: Address) => void;
  readonly #inquiries = new Map<Address, Inquiry>();
  readonly #questions = new Bursts<Inquiry>((inquiry) => this.#ask(inquiry));
  readonly #fds: readonly number[];

  /** `onFound` is called when more is known of an address that was asked for. Throws SystemCallError. */
  constructor(native: Native, network: Network, onFound: (address: Address) => void) {
    this.#native = native;
    this.#network = network;
    this.#onFound = onFound;
    const arp = { of: 'frames', protocol: ETH_P_ARP, filter: arpAnswerFilter } as const;
    const icmp6 = { of: 'ipv6', protocol: IPPROTO_ICMPV6, filter: advertisementFilter } as const;
    this.#fds = [...this.#hear(arp, readArpAnswer), ...this.#hear(icmp6, readAdvertisement)];
  }

  /** The addresses that are asked for now. */
  get asked(): Address[] {
    return [...this.#inquiries.values()]
      .filter(({ finding }) => finding === 'asking')
      .map(({ held }) => held.address);
  }

  /** What is known of an address, which is asked for if nothing is. A finding is given once. */
  find(held: HeldAddress): Finding {
    const known = this.#inquiries.get(held.address);
    if (known?.held.interfaceIndex === held.interfaceIndex) {
      if (known.finding !== 'asking') this.#end(known);
      return known.finding;
    }
    if (known !== undefined) this.#end(known);
    if (this.#macOf(held) === undefined) return 'free';
    const inquiry: Inquiry = {
      ...{ held, finding: 'asking', answered: 0, unanswered: 0, mac: null, timer: undefined },
    };
    this.#inquiries.set(held.address, inquiry);
    this.#questions.add(inquiry);
    return 'asking';
  }

  [Symbol.dispose](): void {
    this.#questions[Symbol.dispose]();
    for (const inquiry of [...this.#inquiries.values()]) this.#end(inquiry);
    for (const fd of this.#fds) {
      this.#native.unwatch(fd);
      this.#native.close(fd);
    }
  }

  #hear(hearing: Hearing, read: (bytes: Uint8Array) => Answer | undefined): number[] {
    const fd = openHearing(this.#native, hearing);
    if (fd === null) return [];
    this.#native.watch(fd, (result) => {
      const answer = typeof result === 'number' ? undefined : read(result);
      if (answer !== undefined) this.#onAnswer(answer);
    });
    return [fd];
  }

  #onAnswer({ address, mac }: Answer): void {
    const inquiry = this.#inquiries.get(address);
    if (inquiry !== undefined && !this.#network.hasMac(mac)) inquiry.mac = mac;
  }

  /** A frame that does not go out is a question that nobody answers. */
  #ask(inquiry: Inquiry): void {
    if (this.#inquiries.get(inquiry.held.address) !== inquiry) return;
    const { address, interfaceIndex } = inquiry.held;
    const [fd] = this.#fds;
    const mac = this.#macOf(inquiry.held);
    inquiry.mac = null;
    if (fd !== undefined && mac !== undefined) {
      const frame = probeFrame(address, mac);
      this.#native.send(fd, frame, MSG_DONTWAIT, linkAddress(interfaceIndex, etherTypeOf(frame)));
    }
    // An answer that came while this thread was held up is heard before its question is judged.
    inquiry.timer = setTimeout(() => setImmediate(() => this.#judge(inquiry)), answerWithinMs).unref();
  }

  #judge(inquiry: Inquiry): void {
    if (this.#inquiries.get(inquiry.held.address) !== inquiry) return;
    const { mac } = inquiry;
    if (mac === null) inquiry.unanswered++;
    else inquiry.answered++;
    if (mac !== null && inquiry.answered === decisive) this.#decide(inquiry, { mac });
    else if (inquiry.unanswered === decisive) this.#decide(inquiry, 'free');
    else this.#questions.add(inquiry);
  }

  #decide(inquiry: Inquiry, finding: Finding): void {
    inquiry.finding = finding;
    inquiry.timer = setTimeout(() => this.#end(inquiry), findingMs).unref();
    this.#onFound(inquiry.held.address);
  }

  #end(inquiry: Inquiry): void {
    clearTimeout(inquiry.timer);
    this.#inquiries.delete(inquiry.held.address);
  }

  /** Undefined where there is no link with others on it. */
  #macOf({ interfaceIndex }: HeldAddress): Uint8Array | undefined {
    const link = this.#network.link(interfaceIndex);
    return link === undefined || link.loopback || link.mac.length !== 6 ? undefined : link.mac;
  }
}
