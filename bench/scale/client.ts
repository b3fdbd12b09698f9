// A WebSocket client for a process with a thousand of them (RFC 6455, unfragmented frames). On other machines
// they would take nothing from the controller. Here they share its processors, so that a client does as
// little as it can: all read into one buffer, and unwanted messages are skipped without a copy.

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface ClientInput {
  /** `ws://HOST:PORT/PATH`. */
  readonly url: string;
  readonly subprotocol?: string;
  readonly onOpen: () => void;
  /** Decides by the first `headBytes` of a message whether it is wanted. */
  readonly isWanted: (head: string) => boolean;
  /** The bytes are valid until it returns. */
  readonly onMessage: (data: Buffer) => void;
  /** Called once; the reason is that of the server's close frame, if there was one. */
  readonly onClosed: (reason: string) => void;
}

interface Header {
  readonly opcode: number;
  readonly bytes: number;
  readonly length: number;
}

/** So many bytes of a message show its type. */
export const headBytes = 80;
const [text, close] = [1, 8];
const final = 0x80;
const masked = 0x80;
const none = Buffer.alloc(0);
const readBuffer = Buffer.alloc(256 * 1024);
/** One mask for all frames: there is no proxy in between that random masks would protect. */
const mask = randomBytes(4);

export class Client {
  readonly #input: ClientInput;
  readonly #socket: Socket;
  #isOpen = false;
  /** The bytes still to come of an unwanted message. */
  #passing = 0;
  #rest: Buffer = none;
  #reason = '';

  constructor(input: ClientInput) {
    this.#input = input;
    const { hostname, port, pathname } = new URL(input.url);
    const onread = { buffer: readBuffer, callback: (count: number) => this.#read(count) };
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true, onread });
    this.#socket.on('connect', () => this.#socket.write(requestOf(input, hostname, pathname)));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => input.onClosed(this.#reason));
  }

  send(message: string): void {
    if (this.#isOpen && this.#socket.writable) this.#socket.write(maskedFrame(Buffer.from(message)));
  }

  #read(count: number): boolean {
    const fresh = readBuffer.subarray(0, count);
    const bytes = this.#rest.length === 0 ? fresh : Buffer.concat([this.#rest, fresh]);
    const taken = this.#isOpen ? this.#take(bytes) : this.#shakeHands(bytes);
    this.#rest = taken < bytes.length ? Buffer.from(bytes.subarray(taken)) : none;
    return true;
  }

  /** Returns how many bytes were used. */
  #shakeHands(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return 0;
    if (!bytes.toString('latin1', 0, end).startsWith('HTTP/1.1 101 ')) {
      this.#socket.destroy();
      return bytes.length;
    }
    this.#isOpen = true;
    this.#input.onOpen();
    return end + 4 + this.#take(bytes.subarray(end + 4));
  }

  #take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length) {
      const passed = Math.min(this.#passing, bytes.length - at);
      this.#passing -= passed;
      at += passed;
      const header = headerAt(bytes, at);
      if (header === null) break;
      const begin = at + header.bytes;
      const end = begin + header.length;
      const headEnd = Math.min(end, begin + headBytes);
      if (headEnd > bytes.length) break;
      if (header.opcode === text && !this.#input.isWanted(bytes.toString('latin1', begin, headEnd))) {
        this.#passing = header.length;
        at = begin;
        continue;
      }
      if (end > bytes.length) break;
      at = end;
      this.#took(header.opcode, bytes.subarray(begin, end));
    }
    return at;
  }

  #took(opcode: number, data: Buffer): void {
    if (opcode === text) this.#input.onMessage(data);
    if (opcode !== close) return;
    this.#reason = data.toString('utf8', 2);
    this.#socket.destroySoon();
  }
}

function requestOf({ subprotocol }: ClientInput, host: string, path: string): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    ...(subprotocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Null until the whole frame head has arrived. */
function headerAt(bytes: Buffer, at: number): Header | null {
  const left = bytes.length - at;
  if (left < 2) return null;
  const opcode = bytes.readUInt8(at) & 0x0f;
  const short = bytes.readUInt8(at + 1);
  if (short < 126) return { opcode, bytes: 2, length: short };
  if (short === 126) return left < 4 ? null : { opcode, bytes: 4, length: bytes.readUInt16BE(at + 2) };
  return left < 10 ? null : { opcode, bytes: 10, length: Number(bytes.readBigUInt64BE(at + 2)) };
}

function maskedFrame(data: Buffer): Buffer {
  const { length } = data;
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const begin = 2 + lengthBytes + mask.length;
  const frame = Buffer.allocUnsafe(begin + length);
  frame[0] = final | text;
  frame[1] = masked | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2);
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  mask.copy(frame, begin - mask.length);
  for (let index = 0; index < length; index++)
    frame[begin + index] = (data[index] ?? 0) ^ (mask[index & 3] ?? 0);
  return frame;
}
