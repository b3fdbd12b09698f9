// One WebSocket stream to a controller: connects, sends hello, passes messages on, reconnects with jitter.
// The only user of `ws` in the agent.

import { WebSocket } from 'ws';
import type { AgentMessage, ControllerMessage, Welcome } from '../protocol/messages.ts';
import { frameLimitBytes, replacedReason, subprotocol } from '../protocol/messages.ts';
import { parseControllerMessage } from '../protocol/parse.ts';
import { agentFrame, shortReason } from '../protocol/write.ts';
import { readAnswer, reasonOf, upgrade } from './stream/advice.ts';
import { shownAs } from './stream/credentials.ts';
import { Heartbeat } from './stream/heartbeat.ts';
import { longestPauseMs, quickMs, slowMs } from './stream/reconnect.ts';
import { hostOf, type Sibling, type Siblings, type Stream, type StreamsParts } from './stream/stream.ts';
import { StreamLog } from './stream/stream-log.ts';

/** Limit for the upgrade, and again for the welcome after it. */
const handshakeMs = 5000;
/** A stream is terminated when more than this waits for a controller that does not read. */
const backlogBytes = 16 * 1024 * 1024;

export class Connection implements Sibling {
  readonly url: string;
  state: Stream['state'] = 'connecting';
  reason = 'not connected yet';
  controller: string | undefined;
  address: string | undefined;
  avoids: string | undefined;
  readonly #parts: StreamsParts;
  readonly #siblings: Siblings;
  readonly #streamLog: StreamLog;
  /** The stream that reaches the same controller as this one: a controller keeps one stream per node. */
  #waitsFor: Sibling | undefined;
  #socket: WebSocket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #heartbeat: Heartbeat | undefined;
  #lostAtMs: number;
  #isWelcomed = false;
  #isRefused = false;
  /** A tick or `synced` has followed the welcome: the peer is a working controller. */
  #isProven = false;
  /** Unusable messages and refusals for good since the last `synced`, or the last welcome of a standby. */
  #faults = 0;
  #ended = false;

  constructor(parts: StreamsParts, url: string, siblings: Siblings) {
    this.#parts = parts;
    this.url = url;
    this.#siblings = siblings;
    this.#streamLog = new StreamLog({ ...parts, url });
    this.#lostAtMs = parts.now();
  }

  start(): void {
    this.#connect().catch((error: NodeJS.ErrnoException) => this.#closed(reasonOf(error)));
  }

  /** Another stream has ended; this one reconnects if it waited for that one. */
  wake(ended: Sibling): void {
    if (this.#waitsFor !== ended) return;
    [this.#waitsFor, this.avoids] = [undefined, undefined];
    if (this.state === 'dormant') this.rouse();
  }

  /** Reconnects a dormant stream: its name has a new address, or its controller has lost the other stream. */
  rouse(): void {
    this.state = 'connecting';
    this.#retry = setTimeout(() => this.start(), Math.random() * quickMs);
  }

  send(message: AgentMessage): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > backlogBytes) socket.terminate();
    else socket.send(agentFrame(message));
  }

  refuse(reason: string, isForGood = false): void {
    if (isForGood) {
      this.#faults++;
      if (this.#waitsFor === undefined) this.avoids = this.address;
    }
    if (this.#socket !== undefined) this.#refuse(this.#socket, 1008, reason);
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#retry);
    this.#heartbeat?.stop();
    this.#socket?.close(1000, 'the agent stops');
    this.#socket?.terminate();
  }

  async #connect(): Promise<void> {
    const url = new URL(this.url);
    const host = hostOf(this.url);
    const addresses = await this.#parts.lookup(host);
    const credentials = await this.#parts.credentials();
    if (this.#ended) return;
    const chosen = this.#siblings.addressFor(this, addresses) ?? { address: host, family: 4 };
    if (this.#waitsFor !== undefined && chosen.address === this.avoids)
      return this.#sleep(this.#waitsFor, this.avoids);
    this.address = chosen.address;
    url.pathname = '/agent';
    this.#socket = new WebSocket(url, subprotocol, {
      perMessageDeflate: false,
      maxPayload: frameLimitBytes,
      handshakeTimeout: handshakeMs,
      // The URL keeps the name, against which certificates are checked; the stream chooses the address.
      lookup: (_host, options, found) =>
        options.all ? found(null, [chosen]) : found(null, chosen.address, chosen.family),
      ...shownAs(credentials),
    });
    this.#listen(this.#socket);
  }

  #listen(socket: WebSocket): void {
    let failure = '';
    socket.on('upgrade', ({ headers }) => {
      const spoken = headers['sec-websocket-protocol'];
      if (spoken === subprotocol) return;
      failure = `the server speaks ${spoken ?? 'no subprotocol'}, not ${subprotocol}; ${upgrade}`;
    });
    socket.on('open', () => this.#opened(socket));
    socket.on('message', (data, isBinary) => this.#receive(socket, data.toString(), isBinary));
    socket.on('unexpected-response', (_request, response) => {
      readAnswer(response, (words) => {
        failure = words;
        socket.terminate();
      });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      failure ||= reasonOf(error);
      // ws itself has rejected a frame (too long, no UTF-8, no valid frame) and closed the socket.
      if (error.code?.startsWith('WS_ERR_')) this.#note(`${error.message}; ${upgrade}`);
    });
    socket.on('close', (code, reason) => {
      const said = reason.toString();
      const isReplaced = code === 1008 && said.startsWith(replacedReason);
      const what = code === 1006 ? 'the connection broke or was silent' : `closed with ${code}`;
      this.#closed(failure || said || what, isReplaced);
    });
  }

  #opened(socket: WebSocket): void {
    if (this.state !== 'refused') [this.state, this.reason] = ['open', ''];
    this.#isWelcomed = false;
    socket.send(agentFrame(this.#parts.hello()));
    this.#heartbeat = new Heartbeat({
      now: this.#parts.now,
      tick: () => this.send({ type: 'tick' }),
      lost: () => socket.terminate(),
      openFor: (ms) => this.#openFor(ms),
    });
  }

  #receive(socket: WebSocket, frame: string, isBinary: boolean): void {
    // Frames behind a refused one are ignored.
    if (socket.readyState !== WebSocket.OPEN) return;
    this.#heartbeat?.heard();
    if (isBinary) {
      this.#refuse(socket, 1003, `a binary frame: frames are JSON text; ${upgrade}`);
      return;
    }
    try {
      const message = parseControllerMessage(frame);
      this.#parts.onMessage(this, message);
      if (message.type === 'welcome') this.#welcomed(message);
      else if (this.#isWelcomed && socket.readyState === WebSocket.OPEN) this.#prove(message.type);
    } catch (error) {
      this.#faults++;
      this.#refuse(socket, 1008, `${(error as Error).message}; ${upgrade}`);
    }
  }

  #welcomed({ cluster, generation, ruling }: Welcome): void {
    this.#isWelcomed = true;
    this.controller = `${cluster} ${generation} ${ruling}`;
    if (this.#isRefused) return;
    if (!ruling) this.#faults = 0;
    if (this.#waitsFor === undefined) this.avoids = undefined;
  }

  /** Pages and deltas prove nothing: they may be the first half of a table that is then refused. */
  #prove(type: ControllerMessage['type']): void {
    if (type !== 'tick' && type !== 'synced') return;
    if (type === 'synced') this.#faults = 0;
    this.#isProven = true;
    [this.state, this.reason] = ['open', ''];
    this.#streamLog.open(this.address);
  }

  /** What comes now is not heard: the heartbeat ends a stream whose peer does not close it. */
  #refuse(socket: WebSocket, code: number, reason: string): void {
    this.#note(reason);
    socket.close(code, shortReason(reason));
  }

  #note(reason: string): void {
    if (this.state !== 'refused' || this.reason !== reason)
      this.#parts.log.warn({ url: this.url, reason }, 'frameRefused');
    this.#isRefused = true;
    [this.state, this.reason] = ['refused', reason];
    this.#streamLog.refused(reason);
  }

  #openFor(ms: number): void {
    if (this.#isWelcomed || ms <= handshakeMs) return;
    this.refuse(`no welcome within ${handshakeMs} ms; check that --controller names a vipward controller`);
  }

  #closed(reason: string, isReplaced = false): void {
    if (this.#ended) return;
    this.#heartbeat?.stop();
    if (this.#isProven) this.#lostAtMs = this.#parts.now();
    if (!this.#isRefused) [this.state, this.reason] = ['connecting', reason];
    [this.#isRefused, this.#isProven, this.#socket] = [false, false, undefined];
    const { controller, address } = this;
    [this.controller, this.address] = [undefined, undefined];
    const replacedAt = isReplaced ? controller : undefined;
    if (this.state !== 'refused' && replacedAt === undefined) this.#streamLog.failed(reason, address);
    this.#parts.onClose(this);
    this.#siblings.closed(this);
    const lostForMs = this.#parts.now() - this.#lostAtMs;
    // A replaced stream looks soon which other has its controller: later a standby may look like that one.
    const most = isReplaced ? quickMs : longestPauseMs({ lostForMs, faults: this.#faults });
    this.#retry = setTimeout(() => this.#again(replacedAt, address), Math.random() * most);
  }

  /** Two streams to one controller would replace each other for ever: the replaced one sleeps, unlogged. */
  #again(replacedAt: string | undefined, address: string | undefined): void {
    const other = replacedAt === undefined ? undefined : this.#siblings.reaching(replacedAt, this);
    if (other !== undefined) this.#sleep(other, address);
    else if (replacedAt === undefined) this.start();
    else {
      this.#streamLog.failed(this.reason, address);
      // Another host has the name of this node, which is no matter of haste.
      this.#retry = setTimeout(() => this.start(), Math.random() * slowMs);
    }
  }

  #sleep(other: Sibling, address: string | undefined): void {
    [this.#waitsFor, this.avoids, this.state] = [other, address, 'dormant'];
    this.reason = `reaches the controller of ${other.url}; takes over when that stream ends`;
  }
}
