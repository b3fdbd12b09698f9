// A host on a link that answers or sends probes for addresses with frames of its own, as a test says.
import { readFileSync } from 'node:fs';
import { arpFrame, icmp6Frame } from '../../src/dialects/addresses/frames.ts';
import { probeFrame } from '../../src/dialects/addresses/probe.ts';
import { loadNative } from '../../src/host/native.ts';
import { linkAddress } from '../../src/host/socket.ts';
import {
  type Address,
  addressBytes,
  familyOf,
  formatAddress,
  parseAddress,
} from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';
import { Rhythm } from './offers.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const [ARP, IPV6] = [0x0806, 0x86dd];
const beatEveryMs = 10;

/**
 * What the host does with a probe: it answers, probes as well, sends the probe back as it came, or asks for
 * the address as a client does.
 */
export type Reaction = 'answers' | 'asks' | 'echoes' | 'calls' | 'is silent';

export class Stranger implements Disposable {
  readonly mac: string;
  /** The number of probes, which come from the unspecified address, for each address. */
  readonly asked: Record<string, number> = {};
  readonly #native = loadNative();
  readonly #fds: readonly number[];
  readonly #index: number;
  readonly #hardware: Buffer;
  readonly #addresses: readonly string[];
  readonly #reaction: (times: number) => Reaction;
  /** Beats of the thread that receives the probes. */
  readonly #rhythm = new Rhythm();
  readonly #timer: NodeJS.Timeout;

  /** `reaction` says what the host does with the first, second and each later probe for an address. */
  constructor(
    where: Namespace,
    link: string,
    addresses: readonly string[],
    reaction: (times: number) => Reaction,
  ) {
    this.#addresses = addresses;
    this.#reaction = reaction;
    this.#index = indexOf(where, link);
    this.#hardware = Buffer.from('02005e105712', 'hex');
    this.mac = '02:00:5e:10:57:12';
    this.#fds = [ARP, IPV6].map((protocol) => this.#listen(where, protocol));
    this.#timer = setInterval(() => this.#rhythm.beat(), beatEveryMs).unref();
  }

  /** The longest time in which no probe could be received and answered. */
  get longestGapMs(): number {
    return this.#rhythm.longestGapMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
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
      const said = protocol === ARP ? this.#arp(frame) : this.#solicitation(frame);
      if (said !== undefined) this.#native.send(fd, said, 0, linkAddress(this.#index, protocol));
    });
    return fd;
  }

  /** The reply to a probe. */
  #said(frame: Buffer, target: Uint8Array, answer: () => Buffer): Uint8Array | undefined {
    const address = formatAddress(target);
    if (!this.#addresses.includes(address)) return undefined;
    const times = (this.asked[address] ?? 0) + 1;
    this.asked[address] = times;
    switch (this.#reaction(times)) {
      case 'answers':
        return answer();
      case 'asks':
        return probeFrame(address, this.#hardware);
      case 'echoes':
        return frame;
      case 'calls':
        return call(address, this.#hardware);
      case 'is silent':
        return undefined;
    }
  }

  #arp(frame: Buffer): Uint8Array | undefined {
    const [operation, sender, target] = [
      frame.readUInt16BE(20),
      frame.readUInt32BE(28),
      frame.subarray(38, 42),
    ];
    if (operation !== 1 || sender !== 0) return undefined;
    const asker = frame.subarray(22, 28);
    const head = Buffer.from('08060001080006040002', 'hex');
    const answer = [asker, this.#hardware, head, this.#hardware, target, asker, Buffer.alloc(4)];
    return this.#said(frame, target, () => Buffer.concat(answer));
  }

  #solicitation(frame: Buffer): Uint8Array | undefined {
    if (frame[20] !== 58 || frame[54] !== 135 || !frame.subarray(22, 38).equals(Buffer.alloc(16)))
      return undefined;
    const target = frame.subarray(62, 78);
    return this.#said(frame, target, () => this.#advertisement(target));
  }

  #advertisement(target: Buffer): Buffer {
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

/** A request from an address of the host, and not from the unspecified one. */
function call(address: Address, mac: Uint8Array): Uint8Array {
  const target = addressBytes(address);
  if (familyOf(address) === 4)
    return arpFrame({ operation: 1, mac, sender: addressBytes(parseAddress('10.77.0.3')), target });
  const message = Uint8Array.of(135, 0, 0, 0, 0, 0, 0, 0, ...target, 1, 1, ...mac);
  const group = addressBytes(parseAddress('ff02::1:ff00:100'));
  return icmp6Frame({ mac, source: addressBytes(parseAddress('fe80::3')), group, message });
}

/** The number of an interface. */
export function indexOf(where: Namespace, link: string): number {
  // sysfs shows the interfaces of the namespace it was mounted in, /proc/net those of the reader.
  const rows = where.run(() => readFileSync('/proc/thread-self/net/dev_mcast', 'utf8'));
  const [, index = '0'] = new RegExp(`^(\\d+)\\s+${link}\\s`, 'm').exec(rows) ?? [];
  return Number(index);
}
