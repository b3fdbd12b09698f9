// Streams to controllers, and the only user of ws here: connects, says hello, hands frames on, comes back
// with jitter.

import { lookup } from 'node:dns/promises';
import { WebSocket } from 'ws';
import type { Log } from '../process/log.ts';
import type { AgentMessage, ControllerMessage, Hello } from '../protocol/messages.ts';
import { frameLimitBytes, heartbeatMs, subprotocol } from '../protocol/messages.ts';
import { parseControllerMessage } from '../protocol/parse.ts';

/** The most streams an agent keeps to the addresses of one name. */
const streamsPerName = 3;
/**
 * Backing off: the first ten seconds quickly, then slowly; always with full jitter, so that a fleet spreads
 * out.
 */
const quickMs = 500;
const quickForMs = 10_000;
const slowMs = 5000;
const handshakeMs = 5000;
/** What may wait for a controller that does not read: then the stream is not worth keeping. */
const backlogBytes = 16 * 1024 * 1024;

export interface LinkParts {
  readonly urls: readonly string[];
  readonly tls: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  };
  /** The credential, read anew at each attempt. */
  readonly token: () => Promise<string | undefined>;
  readonly hello: () => Hello;
  /** A frame of a stream, in order. Throwing closes the stream with the error's message. */
  readonly onMessage: (stream: Stream, message: ControllerMessage) => void;
  readonly onClose: (stream: Stream) => void;
  readonly log: Log;
  readonly now: () => number;
}

/** One stream, or the attempt at one; `state` and `reason` are for `status`. */
export interface Stream {
  readonly url: string;
  readonly state: 'connecting' | 'open' | 'refused';
  readonly reason: string;
  send(message: AgentMessage): void;
  /** Closes with a reason that both sides can read; another attempt follows. */
  refuse(reason: string): void;
}

export class Link implements Disposable {
  readonly #parts: LinkParts;
  readonly #streams: Connection[] = [];

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  get streams(): readonly Stream[] {
    return this.#streams;
  }

  start(): void {
    for (const url of this.#parts.urls) this.#open(url, 0);
  }

  [Symbol.dispose](): void {
    for (const stream of this.#streams) stream.end();
  }

  /** A name that stands for more addresses than there are streams gets more of them. */
  #open(url: string, slot: number): void {
    const connection = new Connection(this.#parts, url, slot, (addresses) => {
      const mine = this.#streams.filter((stream) => stream.url === url).length;
      for (let next = mine; next < Math.min(addresses, streamsPerName); next++) this.#open(url, next);
    });
    this.#streams.push(connection);
    connection.start();
  }
}

class Connection implements Stream {
  readonly url: string;
  state: 'connecting' | 'open' | 'refused' = 'connecting';
  reason = 'not connected yet';
  readonly #parts: LinkParts;
  readonly #slot: number;
  readonly #onResolved: (addresses: number) => void;
  #socket: WebSocket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #heardAtMs = 0;
  #lostAtMs: number;
  #ended = false;

  constructor(parts: LinkParts, url: string, slot: number, onResolved: (addresses: number) => void) {
    this.#parts = parts;
    this.url = url;
    this.#slot = slot;
    this.#onResolved = onResolved;
    this.#lostAtMs = parts.now();
  }

  start(): void {
    this.#connect().catch((error: unknown) =>
      this.#closed(error instanceof Error ? error.message : String(error)),
    );
  }

  send(message: AgentMessage): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > backlogBytes) socket.terminate();
    else socket.send(JSON.stringify(message));
  }

  refuse(reason: string): void {
    this.state = 'refused';
    this.reason = reason;
    this.#socket?.close(1008, reason.slice(0, 120));
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#retry);
    clearInterval(this.#beat);
    this.#socket?.close(1000, 'agent ends');
    this.#socket?.terminate();
  }

  async #connect(): Promise<void> {
    const { token, tls } = this.#parts;
    const url = new URL(this.url);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const addresses = await lookup(host, { all: true });
    this.#onResolved(addresses.length);
    const chosen = addresses[this.#slot % addresses.length] ?? { address: host, family: 4 };
    const credential = await token();
    if (this.#ended) return;
    url.pathname = '/agent';
    const socket = new WebSocket(url, subprotocol, {
      perMessageDeflate: false,
      maxPayload: frameLimitBytes,
      handshakeTimeout: handshakeMs,
      headers: credential === undefined ? {} : { authorization: `Bearer ${credential}` },
      // The name stays in the URL, for certificates are checked against it; the address is this stream's own.
      lookup: (_host, options, found) =>
        options.all ? found(null, [chosen]) : found(null, chosen.address, chosen.family),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key }),
    });
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: WebSocket): void {
    let failure = '';
    socket.on('open', () => {
      this.state = 'open';
      this.reason = '';
      this.#heardAtMs = this.#parts.now();
      socket.send(JSON.stringify(this.#parts.hello()));
      this.#beat = setInterval(() => this.#tick(socket), heartbeatMs);
    });
    socket.on('message', (data, isBinary) => this.#receive(socket, data.toString(), isBinary));
    socket.on('unexpected-response', (_request, response) => {
      failure = `the controller answered ${response.statusCode}`;
      response.resume();
      socket.terminate();
    });
    socket.on('error', (error) => {
      failure ||= error.message;
    });
    socket.on('close', (code, reason) => this.#closed(failure || reason.toString() || `closed with ${code}`));
  }

  #receive(socket: WebSocket, frame: string, isBinary: boolean): void {
    this.#heardAtMs = this.#parts.now();
    if (isBinary) {
      socket.close(1003, 'binary frame');
      return;
    }
    try {
      this.#parts.onMessage(this, parseControllerMessage(frame));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#parts.log.warn({ url: this.url, reason }, 'frame-refused');
      socket.close(1008, reason.slice(0, 120));
    }
  }

  #tick(socket: WebSocket): void {
    // A late timer of our own says nothing about the other side: frames may lie unread behind it.
    if (this.#parts.now() - this.#heardAtMs > 3 * heartbeatMs + quickMs) socket.terminate();
    else this.send({ type: 'tick' });
  }

  #closed(reason: string): void {
    if (this.#ended) return;
    clearInterval(this.#beat);
    clearTimeout(this.#retry);
    if (this.state === 'open') this.#lostAtMs = this.#parts.now();
    if (this.state !== 'refused') {
      this.state = 'connecting';
      this.reason = reason;
    }
    this.#socket = undefined;
    this.#parts.onClose(this);
    const most = this.#parts.now() - this.#lostAtMs < quickForMs ? quickMs : slowMs;
    this.#retry = setTimeout(() => this.start(), Math.random() * most);
  }
}
