// Probes the addresses of first claims on their link: does another host answer for the address, or probe for
// it too? The agent does not take the VIP until that is known. Other VIPs do not wait for it.

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

/** A probe without an answer after this counts as unanswered. */
const answerWithinMs = 300;
/** Two answered probes mean a rival, two unanswered ones a free address: at most three probes are counted. */
const decisive = 2;
/** A probe that could not be sent or answered is repeated after this. */
const askAgainMs = 1000;
/** How long a found rival is believed to be there; after that the address may be probed again. */
const rivalMs = 3000;
const MSG_DONTWAIT = 0x40;

/** The state of an address on its link: still probed, free, or taken or probed by a rival. */
export type Finding = 'asking' | 'free' | Rival;

type OnFound = (addresses: readonly Address[]) => void;

interface Inquiry {
  readonly held: HeldAddress;
  finding: Finding;
  answered: number;
  unanswered: number;
  /** The host that answered the last probe. */
  answer: Rival | null;
  /** A host that has probed for the address too: one probe is enough (RFC 5227 2.1.1, RFC 4862 5.4.3). */
  probe: Rival | null;
  /** Why silence after the last probe proves nothing; empty if it counts. */
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
  /** Inquiries whose last probe has timed out and is to be judged. */
  #due: Inquiry[] = [];
  readonly #rivalListener: RivalListener;
  readonly #fd: number;

  /**
   * With the policy `take` every address counts as free. `onFound` is called with addresses that have a
   * finding. Throws SystemCallError.
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

  /** Why the prober cannot find out whether another host has the address; empty if it can. */
  obstacle(address: Address): string {
    const { obstacle = '' } = this.#inquiries.get(address) ?? {};
    return obstacle && `${obstacle}: the agent cannot ask whether another host has ${address}, and waits`;
  }

  /**
   * The finding on an address. Starts to probe it if there is none. `free` is returned once and then
   * forgotten; a rival is remembered for some time.
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
      held,
      finding: 'asking',
      answered: 0,
      unanswered: 0,
      answer: null,
      probe: null,
      obstacle: '',
      timer: undefined,
    };
    this.#inquiries.set(held.address, inquiry);
    this.#questions.add([inquiry]);
    return 'asking';
  }

  /** Drops an address that this node is no longer to take: a later claim probes again. */
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

  /** Judges in a later turn, so that answers that came while this thread was busy are read first. */
  #expire(inquiry: Inquiry): void {
    if (this.#due.push(inquiry) > 1) return;
    setImmediate(() => {
      const due = this.#due;
      this.#due = [];
      const found = due.filter((one) => this.#judge(one));
      if (found.length > 0) this.#onFound(found.map(({ held }) => held.address));
    });
  }

  /** Sends a probe. Returns why it was not sent or no answer could be received; empty if all is well. */
  #send({ address, interfaceIndex }: HeldAddress): string {
    const link = this.#network.link(interfaceIndex);
    const obstacle = obstacleOf(link);
    if (link === undefined || obstacle !== '') return obstacle;
    const deafness = this.#rivalListener.listen(link, familyOf(address));
    if (deafness !== '') return deafness;
    const frame = probeFrame(address, link.mac);
    const to = linkAddress(interfaceIndex, etherTypeOf(frame));
    const sent = this.#native.send(this.#fd, frame, MSG_DONTWAIT, to);
    return sent < 0 ? `${link.name} does not send frames (${describeErrno(-sent)})` : '';
  }

  /**
   * Counts silence only if the link carried frames until the end of the wait. Reports a host that only probes
   * too if no host answers, since it may be one of our nodes. Returns true if there is a finding.
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
      // Ahead of first probes, so that inquiries that have begun end soon.
      this.#questions.add([inquiry], inquiry.obstacle === '');
      return false;
    }
    if (inquiry.finding !== 'free') inquiry.timer = setTimeout(() => this.#end(inquiry), rivalMs).unref();
    return true;
  }

  #end(inquiry: Inquiry): void {
    clearTimeout(inquiry.timer);
    this.#inquiries.delete(inquiry.held.address);
  }
}

/** Whether the interface has no Ethernet link with other hosts on it. */
function isAlone(link: Link | undefined): boolean {
  return link === undefined || link.loopback || link.kind === 'dummy' || link.mac.length !== 6;
}

/** Why a link carries no probes; empty if it does. */
function obstacleOf(link: Link | undefined): string {
  if (link === undefined) return 'its interface is gone';
  if (!link.up) return `${link.name} is down`;
  return link.carrier ? '' : `${link.name} has no carrier`;
}
