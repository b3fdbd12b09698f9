// A node with a real agent, but without sockets: it has a kernel that outlives the process, a link to the
// other nodes, and frames that wait to be read. Its passes do what loop.ts and holder.ts do.

import type { Session } from '../../../src/controller/sessions.ts';
import { welcomeFrame } from '../../../src/controller/stream/welcome.ts';
import type { AgentMessage } from '../../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../../src/protocol/parse.ts';
import type { Address } from '../../../src/state/address.ts';
import type { Ruling } from '../ruling.ts';
import { messageIn } from '../test-receiver.ts';
import { AgentProcess, type Disk } from './agent-process.ts';

/** A stream, with what each side has sent and the other has not read. */
class Line {
  readonly url = '';
  readonly state = 'open';
  readonly reason = '';
  readonly ruled: Ruling;
  readonly down: Buffer[] = [];
  readonly up: AgentMessage[] = [];
  /** Null once the controller has closed it. */
  session: Session | null = null;
  isRefused = false;

  constructor(ruled: Ruling) {
    this.ruled = ruled;
  }

  send(message: AgentMessage): void {
    if (!this.isRefused) this.up.push(message);
  }

  refuse(): void {
    this.isRefused = true;
  }

  /** What the agent has sent is lost, but not what it has yet to read. */
  close(): void {
    if (this.session !== null) this.ruled.sessions.close(this.session);
    this.session = null;
  }
}

export class RealAgent {
  readonly name: string;
  readonly kernel: Set<Address> = new Set();
  process: AgentProcess | null = null;
  #lines: readonly Line[] = [];
  /** VIPs that have no place on the node for now. */
  readonly #broken = new Set<Address>();
  #isStalled = false;
  readonly #link: readonly RealAgent[];
  readonly #mac: string;
  readonly #disk: Disk = { cluster: null, generation: 0, rules: new Map(), placements: new Map() };

  constructor(name: string, link: readonly RealAgent[]) {
    this.name = name;
    this.#link = link;
    this.#mac = `02:00:00:00:00:0${link.length}`;
    this.start();
  }

  start(): void {
    if (this.process !== null) return;
    this.process = new AgentProcess(this.name, this.#mac, this.#disk);
    const { ledger } = this.process;
    for (const key of this.kernel) if (ledger.keys().has(key)) ledger.hold(placeOf(key));
    this.pass();
  }

  /** The process ends, and its kernel serves on. */
  die(): void {
    this.lose();
    [this.#lines, this.process] = [[], null];
  }

  /** Opens a stream to the controller, unless there is one. */
  connect(ruled: Ruling): void {
    if (this.process === null || this.#lines.some((line) => line.ruled === ruled)) return;
    const { controller, sessions } = ruled;
    const hello = this.process.session.hello();
    if (sessions.hear(hello) !== null) return;
    const line = new Line(ruled);
    line.session = sessions.open(hello, { send: (frame) => void line.down.push(frame), bufferedAmount: 0 });
    const { cluster, generation } = controller;
    line.down.push(welcomeFrame({ version: '0', cluster, generation, ruling: true }));
    sessions.begin(line.session);
    this.#lines = [...this.#lines, line];
  }

  /** The controllers take the agent for lost. It may still read what they had sent. */
  lose(): void {
    for (const line of this.#lines) line.close();
  }

  /** The agent takes the controllers for lost, and reads no more of what they had sent. */
  leave(): void {
    for (const line of this.#lines) this.#end(line);
    this.pass();
  }

  /** Reads a frame, or notices that a stream is over. False if there is nothing to read. */
  read(): boolean {
    const line = this.#lines.find(({ down, session }) => down.length > 0 || session === null);
    if (this.process === null || line === undefined) return false;
    const frame = line.isRefused ? undefined : line.down.shift();
    if (frame === undefined) this.#end(line);
    else this.process.session.onMessage(line, parseControllerMessage(messageIn(frame)));
    if (line.isRefused) line.close();
    this.pass();
    return true;
  }

  /** The controllers read a message. False if there is none. */
  say(): boolean {
    const line = this.#lines.find(({ up, session }) => up.length > 0 && session !== null);
    const message = line?.up.shift();
    if (line?.session == null || message === undefined) return false;
    if (line.ruled.sessions.message(line.session, message) !== null) line.close();
    return true;
  }

  /** The probes that have begun end. False if there are none. */
  probed(): boolean {
    const probes = [...(this.process?.probes ?? [])];
    for (const [key, isRival] of probes) this.#judge(key, isRival);
    return probes.length > 0;
  }

  /** The VIP has no place here from now on, or it has one again. */
  breaks(key: Address): void {
    this.#broken.add(key);
    this.kernel.delete(key);
    this.process?.ledger.gone(key);
    this.process?.reporter.held([key]);
    this.pass();
  }

  mends(key: Address): void {
    this.#broken.delete(key);
    this.pass();
  }

  /** The kernel answers nothing until it resumes. */
  stall(): void {
    this.#isStalled = true;
  }

  resume(): void {
    this.#isStalled = false;
    this.pass();
  }

  pass(): void {
    if (this.process === null || this.#isStalled) return;
    const { ledger, reporter, inSync } = this.process;
    const excess = [...this.kernel].filter((key) => !ledger.isPlaced(key));
    if (inSync) for (const key of excess) this.#letGo(key);
    for (const [key, vip] of ledger.wanted) ledger.committed.set(key, vip);
    const unwanted = [...ledger.committed.keys()].filter((key) => ledger.target(key) === undefined);
    if (inSync) for (const key of unwanted) ledger.committed.delete(key);
    reporter.ofRules.committed([...ledger.wanted.keys(), ...unwanted]);
    for (const key of ledger.placed.keys()) if (ledger.mayHold(key)) this.#claim(key);
    reporter.acks.take();
    if (inSync || excess.length + unwanted.length === 0) reporter.acks.settle({ begun: 0, over: 0 });
  }

  #claim(key: Address): void {
    const { ledger, probes, reporter } = this.process as AgentProcess;
    if (ledger.held.has(key)) reporter.accept('placements', key);
    else if (this.#broken.has(key)) this.#refuse(key, 'NoInterface');
    else if (!ledger.firstClaims.has(key)) this.#take(key);
    else if (!probes.has(key)) {
      for (const other of this.#others())
        if (other.process?.probes.has(key)) other.process.probes.set(key, true);
      probes.set(key, false);
    }
  }

  #judge(key: Address, isRival: boolean): void {
    const { ledger, probes } = this.process as AgentProcess;
    probes.delete(key);
    const answering = this.#others().find(({ kernel }) => kernel.has(key));
    if (!ledger.mayHold(key) || this.#broken.has(key) || this.#isStalled) return;
    if (answering !== undefined) this.#refuse(key, 'AddressConflict', answering.#mac);
    else if (isRival) this.#refuse(key, 'AddressConflict', '02:00:00:00:00:ff');
    else this.#take(key);
  }

  #take(key: Address): void {
    const { ledger, reporter } = this.process as AgentProcess;
    this.kernel.add(key);
    ledger.hold(placeOf(key));
    reporter.accept('placements', key);
    reporter.held([key]);
  }

  #letGo(key: Address): void {
    this.kernel.delete(key);
    this.process?.ledger.gone(key);
    this.process?.reporter.held([key]);
  }

  #refuse(key: Address, code: 'NoInterface' | 'AddressConflict', mac?: string): void {
    const refusal = { table: 'placements', key, code, reason: `${code} ${mac}`, services: [] } as const;
    this.process?.reporter.refuse(mac === undefined ? refusal : { ...refusal, mac });
  }

  #others(): readonly RealAgent[] {
    return this.#link.filter((other) => other !== this);
  }

  #end(line: Line): void {
    line.close();
    this.#lines = this.#lines.filter((other) => other !== line);
    this.process?.session.onClose(line);
  }
}

function placeOf(address: Address) {
  return { address, interfaceIndex: 1 };
}
