// First claims: whether somebody answers for an address already, or is about to take it too, asked on its
// link before it is taken. What is asked for is not usable yet; nothing waits for it.

import { etherTypeOf } from '../../dialects/addresses/frames.ts';
import type { Link } from '../../dialects/addresses/links.ts';
import { probeFrame, type Rival } from '../../dialects/addresses/probe.ts';
import type { Native } from '../../host/native.ts';
import { closeLater, linkAddress, openPacket } from '../../host/socket.ts';
import { describeErrno } from '../../netlink/ack.ts';
import { type Address, familyOf } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';
import { BurstLimiter } from './burst-limiter.ts';
import type { Network } from './network.ts';
import { RivalListener } from './rival-listener.ts';

/** A question is answered within this, or not at all. */
const answerWithinMs = 300;
/** So many answered questions are a stranger, as many unanswered ones are nobody: at most three are asked. */
const decisive = 2;
/** What nobody can hear is asked again after this. */
const askAgainMs = 1000;
/** So long a stranger is believed to be there; after that he may be asked again. */
const strangerMs = 3000;
const MSG_DONTWAIT = 0x40;

/** What is known of an address on its link: nothing yet, that it is free, or who has it or wants it. */
export type Finding = 'asking' | 'free' | Rival;

type OnFound = (addresses: readonly Address[]) => void;

interface Inquiry {
  readonly held: HeldAddress;
  finding: Finding;
  answered: number;
  unanswered: number;
  /** Who answered the question that was asked last. */
  answer: Rival | null;
  /** Who has asked for it since we do: by RFC 5227 2.1.1 and RFC 4862 5.4.3 once is enough. */
  probe: Rival | null;
  /** Why silence after that question says nothing; empty where it does. */
  obstacle: string;
  timer: NodeJS.Timeout | undefined;
}

export class Prober implements Disposable {
  readonly #native: Native;
  readonly #network: Network;
  readonly #policy: 'ask' | 'take';
  readonly #onFound: OnFound;
  readonly #inquiries = new Map<Address, Inquiry>();
  readonly #questions = new BurstLimiter<Inquiry>((inquiry) => this.#ask(inquiry));
  /** Inquiries whose question has had its time. */
  #due: Inquiry[] = [];
  readonly #rivalListener: RivalListener;
  readonly #fd: number;

  /**
   * By `take` every address counts as free. `onFound` is called when more is known of some that were asked
   * for. Throws SystemCallError.
   */
  constructor(native: Native, network: Network, policy: 'ask' | 'take', onFound: OnFound) {
    this.#native = native;
    this.#network = network;
    this.#policy = policy;
    this.#onFound = onFound;
    this.#rivalListener = new RivalListener(native, (rival, interfaceIndex) =>
      this.#onRival(rival, interfaceIndex),
    );
    this.#fd = openPacket(native);
  }

  /** The addresses that are asked for now. */
  get asked(): Address[] {
    return [...this.#inquiries.values()]
      .filter(({ finding }) => finding === 'asking')
      .map(({ held }) => held.address);
  }

  /** Why it cannot be found out whether somebody has an address; empty while nothing speaks against it. */
  obstacle(address: Address): string {
    const { obstacle = '' } = this.#inquiries.get(address) ?? {};
    return obstacle && `${obstacle}: it is not known whether somebody has ${address}, so it waits`;
  }

  /**
   * What is known of an address, which is asked for if nothing is. That it is free is told once, and a
   * stranger for some time.
   */
  find(held: HeldAddress): Finding {
    const known = this.#inquiries.get(held.address);
    if (known?.held.interfaceIndex === held.interfaceIndex) {
      if (known.finding === 'free') this.#end(known);
      return known.finding;
    }
    if (known !== undefined) this.#end(known);
    if (this.#policy === 'take' || isAlone(this.#network.link(held.interfaceIndex))) return 'free';
    const inquiry: Inquiry = {
      ...{ held, finding: 'asking', answered: 0, unanswered: 0 },
      ...{ answer: null, probe: null, obstacle: '', timer: undefined },
    };
    this.#inquiries.set(held.address, inquiry);
    this.#questions.add([inquiry]);
    return 'asking';
  }

  /** Nobody is to take the address here: what was found is of no use later. */
  forget(address: Address): void {
    const known = this.#inquiries.get(address);
    if (known !== undefined) this.#end(known);
  }

  [Symbol.dispose](): void {
    this.#questions[Symbol.dispose]();
    for (const inquiry of [...this.#inquiries.values()]) this.#end(inquiry);
    this.#rivalListener[Symbol.dispose]();
    closeLater(this.#native, this.#fd);
  }

  #onRival(rival: Rival, interfaceIndex: number): void {
    const inquiry = this.#inquiries.get(rival.address);
    if (inquiry?.held.interfaceIndex !== interfaceIndex || this.#network.hasMac(rival.mac)) return;
    if (rival.does === 'answer') inquiry.answer = rival;
    else inquiry.probe = rival;
  }

  #ask(inquiry: Inquiry): void {
    if (this.#inquiries.get(inquiry.held.address) !== inquiry) return;
    inquiry.answer = null;
    inquiry.obstacle = this.#send(inquiry.held);
    const waitMs = inquiry.obstacle === '' ? answerWithinMs : askAgainMs;
    inquiry.timer = setTimeout(() => this.#expire(inquiry), waitMs).unref();
  }

  /** An answer that came while this thread was held up is heard before its question is judged. */
  #expire(inquiry: Inquiry): void {
    if (this.#due.push(inquiry) > 1) return;
    setImmediate(() => {
      const due = this.#due;
      this.#due = [];
      const found = due.filter((one) => this.#judge(one));
      if (found.length > 0) this.#onFound(found.map(({ held }) => held.address));
    });
  }

  /** Why the question did not go out, or nobody would hear the answer; empty if neither is so. */
  #send({ address, interfaceIndex }: HeldAddress): string {
    const link = this.#network.link(interfaceIndex);
    const obstacle = obstacleOf(link);
    if (link === undefined || obstacle !== '') return obstacle;
    const deafness = this.#rivalListener.listen(link, familyOf(address));
    if (deafness !== '') return deafness;
    const frame = probeFrame(address, link.mac);
    const to = linkAddress(interfaceIndex, etherTypeOf(frame));
    const sent = this.#native.send(this.#fd, frame, MSG_DONTWAIT, to);
    return sent < 0 ? `${link.name} takes no frames (${describeErrno(-sent)})` : '';
  }

  /**
   * Silence counts where others could hear the question to the end, and be heard. Who asks too is named only
   * where nobody answers, since he may be one of our nodes. True if it is decided.
   */
  #judge(inquiry: Inquiry): boolean {
    if (this.#inquiries.get(inquiry.held.address) !== inquiry) return false;
    const { answer, probe, held } = inquiry;
    inquiry.obstacle ||= obstacleOf(this.#network.link(held.interfaceIndex));
    if (answer !== null) inquiry.answered++;
    else if (inquiry.obstacle === '') inquiry.unanswered++;
    if (answer !== null && inquiry.answered === decisive) inquiry.finding = answer;
    else if (answer === null && probe !== null) inquiry.finding = probe;
    else if (inquiry.unanswered === decisive) inquiry.finding = 'free';
    if (inquiry.finding === 'asking') {
      // The sooner it is decided, the sooner its address is taken: others have not even been asked for.
      this.#questions.add([inquiry], inquiry.obstacle === '');
      return false;
    }
    if (inquiry.finding !== 'free') inquiry.timer = setTimeout(() => this.#end(inquiry), strangerMs).unref();
    return true;
  }

  #end(inquiry: Inquiry): void {
    clearTimeout(inquiry.timer);
    this.#inquiries.delete(inquiry.held.address);
  }
}

/** There is no link with others on it. */
function isAlone(link: Link | undefined): boolean {
  return link === undefined || link.loopback || link.kind === 'dummy' || link.mac.length !== 6;
}

/** Why a link carries no question; empty if it does. */
function obstacleOf(link: Link | undefined): string {
  if (link === undefined) return 'its interface is gone';
  if (!link.up) return `${link.name} is down`;
  return link.carrier ? '' : `${link.name} has no carrier`;
}
