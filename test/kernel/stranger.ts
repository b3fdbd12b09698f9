// Somebody on a link who answers for addresses by frames of his own, as often as a test says.
import { readFileSync } from 'node:fs';
import { loadNative } from '../../src/host/native.ts';
import { linkAddress } from '../../src/host/socket.ts';
import { addressBytes, formatAddress, parseAddress } from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const [ARP, IPV6] = [0x0806, 0x86dd];

export class Stranger implements Disposable {
  readonly mac: string;
  /** How often each address was asked for by nobody's address. */
  readonly asked: Record<string, number> = {};
  readonly #native = loadNative();
  readonly #fds: readonly number[];
  readonly #index: number;
  readonly #hardware: Buffer;
  readonly #addresses: readonly string[];
  readonly #answers: (times: number) => boolean;

  /** `answers` says of the first, second and each later question whether it is answered. */
  constructor(
    where: Namespace,
    link: string,
    addresses: readonly string[],
    answers: (times: number) => boolean,
  ) {
    this.#addresses = addresses;
    this.#answers = answers;
    this.#index = indexOf(where, link);
    this.#hardware = Buffer.from('02005e105712', 'hex');
    this.mac = '02:00:5e:10:57:12';
    this.#fds = [ARP, IPV6].map((protocol) => this.#listen(where, protocol));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) {
      this.#native.unwatch(fd);
      this.#native.close(fd);
    }
  }

  #listen(where: Namespace, protocol: number): number {
    const fd = where.run(() =>
      this.#native.socket(AF_PACKET, SOCK_RAW, ((protocol & 0xff) << 8) | (protocol >> 8)),
    );
    this.#native.watch(fd, (bytes) => {
      if (typeof bytes === 'number') return;
      const frame = Buffer.from(bytes);
      const answer = protocol === ARP ? this.#arp(frame) : this.#solicitation(frame);
      if (answer !== undefined) this.#native.send(fd, answer, 0, linkAddress(this.#index, protocol));
    });
    return fd;
  }

  #isAnswered(address: string): boolean {
    if (!this.#addresses.includes(address)) return false;
    const times = (this.asked[address] ?? 0) + 1;
    this.asked[address] = times;
    return this.#answers(times);
  }

  #arp(frame: Buffer): Buffer | undefined {
    const [operation, sender, target] = [
      frame.readUInt16BE(20),
      frame.readUInt32BE(28),
      frame.subarray(38, 42),
    ];
    if (operation !== 1 || sender !== 0 || !this.#isAnswered(formatAddress(target))) return undefined;
    const asker = frame.subarray(22, 28);
    const head = Buffer.from('08060001080006040002', 'hex');
    return Buffer.concat([asker, this.#hardware, head, this.#hardware, target, asker, Buffer.alloc(4)]);
  }

  #solicitation(frame: Buffer): Buffer | undefined {
    if (frame[20] !== 58 || frame[54] !== 135 || !frame.subarray(22, 38).equals(Buffer.alloc(16)))
      return undefined;
    const target = frame.subarray(62, 78);
    if (!this.#isAnswered(formatAddress(target))) return undefined;
    const allNodes = addressBytes(parseAddress('ff02::1'));
    const body = Buffer.concat([
      Buffer.from('8800000020000000', 'hex'),
      target,
      Buffer.from([2, 1]),
      this.#hardware,
    ]);
    const pseudo = Buffer.concat([target, allNodes, Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]), body]);
    body.writeUInt16BE(0xffff - Number(BigInt(`0x${pseudo.toString('hex')}`) % 0xffffn), 2);
    const head = Buffer.from(`86dd6000000000${body.length.toString(16)}3aff`, 'hex');
    return Buffer.concat([Buffer.from('333300000001', 'hex'), this.#hardware, head, target, allNodes, body]);
  }
}

/** The number of an interface. */
export function indexOf(where: Namespace, link: string): number {
  // sysfs shows the interfaces of the namespace it was mounted in, /proc/net those of whoever reads.
  const rows = where.run(() => readFileSync('/proc/thread-self/net/dev_mcast', 'utf8'));
  const [, index = '0'] = new RegExp(`^(\\d+)\\s+${link}\\s`, 'm').exec(rows) ?? [];
  return Number(index);
}
