// A prober with a fake link and a fake network, and the frames that arrive after each probe.
import { equal } from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { Network } from '../../../src/agent/addresses/network.ts';
import { type Finding, Prober } from '../../../src/agent/addresses/prober.ts';
import type { Link } from '../../../src/dialects/addresses/links.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import type { HeldAddress } from '../../../src/state/desired-state.ts';
import { type RecordedNative, recordedNative } from '../../host/recorded-native.ts';
import { hex } from '../../netlink/captured.ts';

export const address: Address = parseAddress('10.50.0.1');
export const held: HeldAddress = { address, interfaceIndex: 7 };
export const stranger = '02005e105712';
export const own = '02005e100002';
/** The descriptor that sends. */
const sending = 100;
/** The first descriptor that receives. */
export const arp = 101;

export const link: Link = {
  index: 7,
  name: 'lan',
  mac: hex('02005e100001'),
  kind: '',
  up: true,
  carrier: true,
  loopback: false,
  isRouter: false,
};

export function answerOf(mac: string): Uint8Array {
  return hex(`02005e100001 ${mac} 0806 0001 0800 06 04 0002 ${mac} 0a320001 02005e100001 00000000`);
}

/** A probe without a sender address: its sender wants to take the address that it asks for. */
export function probeOf(mac: string): Uint8Array {
  return hex(`ffffffffffff ${mac} 0806 0001 0800 06 04 0001 ${mac} 00000000 000000000000 0a320001`);
}

interface RoomOptions {
  readonly failing?: Record<string, number>;
  readonly on?: Link;
}

export class Room implements Disposable {
  readonly native: RecordedNative;
  link: Link;
  readonly prober: Prober;
  readonly #found = new EventEmitter();

  /** `heard` has the frames that arrive after each probe, in order. */
  constructor(heard: readonly (readonly Uint8Array[])[], { failing = {}, on = link }: RoomOptions = {}) {
    this.link = on;
    this.native = recordedNative(undefined, failing);
    const network = {
      link: (index: number) => ({ ...this.link, index }),
      hasMac: (mac: string) => mac.replaceAll(':', '') === own,
    };
    this.prober = new Prober(this.native, network as Partial<Network> as Network, 'ask', () =>
      this.#found.emit('found'),
    );
    const { send } = this.native;
    let asked = 0;
    this.native.send = (fd, bytes, flags, to) => {
      for (const frame of heard[asked++] ?? []) this.native.deliver(arp, frame);
      return send(fd, bytes, flags, to);
    };
  }

  /** Resolves when the prober next has a finding. */
  async found(): Promise<void> {
    await once(this.#found, 'found');
  }

  /** What the prober finds in the end. */
  async finds(): Promise<Finding> {
    const found = this.found();
    equal(this.prober.find(held), 'asking');
    equal(this.prober.find(held), 'asking');
    await found;
    return this.prober.find(held);
  }

  get sent(): number {
    return this.native.calls.filter((call) => call === `send ${sending}`).length;
  }

  [Symbol.dispose](): void {
    this.prober[Symbol.dispose]();
  }
}
