// The addresses that a host hears announced: by ARP to all hosts about its sender, or by an advertisement to
// all nodes.
import { loadNative } from '../../src/host/native.ts';
import { formatAddress } from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';

const [AF_PACKET, SOCK_RAW, ETH_P_ALL, MSG_DONTWAIT] = [17, 3, 3, 0x40];

export class Announced implements Disposable {
  readonly #native = loadNative();
  readonly #fd: number;
  readonly #heard = new Set<string>();

  constructor(where: Namespace) {
    this.#fd = where.run(() => this.#native.socket(AF_PACKET, SOCK_RAW, ETH_P_ALL << 8));
  }

  /** Whether the address was announced since the start. */
  has(address: string): boolean {
    const frame = Buffer.alloc(2048);
    while (this.#native.receive(this.#fd, frame, MSG_DONTWAIT) > 0) {
      const [sender, target] = [frame.subarray(28, 32), frame.subarray(38, 42)];
      if (frame.readUIntBE(0, 6) === 0xffffffffffff && frame.readUInt16BE(12) === 0x0806)
        if (sender.equals(target)) this.#heard.add(formatAddress(sender));
      const isAdvertisement = frame.readUInt16BE(12) === 0x86dd && frame[20] === 58 && frame[54] === 136;
      if (isAdvertisement && frame.readUInt16BE(0) === 0x3333)
        this.#heard.add(formatAddress(frame.subarray(62, 78)));
    }
    return this.#heard.has(address);
  }

  [Symbol.dispose](): void {
    this.#native.close(this.#fd);
  }
}
