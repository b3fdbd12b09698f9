// Sends deltas to the kernel, counts the commits and measures their time.

import { isEmpty } from '../../dialects/delta.ts';
import type { Delta, KernelObject, Transaction } from '../../dialects/dialect.ts';
import type { Kernel, Soon } from '../../host/kernel.ts';
import type { Receipt } from '../../netlink/ack.ts';
import type { Firewall } from '../firewall/firewall.ts';

export interface SenderParts {
  readonly kernel: Pick<Kernel, 'commit'>;
  /** Its dialect may change with the config. */
  readonly firewall: Firewall;
  /** Called with the duration of each commit, in microseconds. */
  readonly observe: (micros: number) => void;
}

export class Sender {
  readonly #parts: SenderParts;
  /** The number of commits tried. */
  tried = 0;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  send(delta: Delta): Soon<Receipt<KernelObject>> {
    return this.transmit(this.encode(delta));
  }

  /** Null if the delta is empty. */
  encode(delta: Delta): Transaction<KernelObject> | null {
    return isEmpty(delta) ? null : this.#parts.firewall.dialect.encode(delta);
  }

  transmit(transaction: Transaction<KernelObject> | null): Soon<Receipt<KernelObject>> {
    const { kernel, observe } = this.#parts;
    if (transaction === null) return [];
    const beganAtMs = performance.now();
    const done = (receipt: Receipt<KernelObject>): Receipt<KernelObject> => {
      observe((performance.now() - beganAtMs) * 1000);
      return receipt;
    };
    this.tried++;
    const receipt = kernel.commit(transaction);
    return receipt instanceof Promise ? receipt.then(done) : done(receipt);
  }
}
