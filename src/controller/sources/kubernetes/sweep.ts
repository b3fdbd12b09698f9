// Some of many VIPs each second, in turn: what becomes of them without a word is found so.

import type { Address } from '../../../state/address.ts';

export interface SweepInput {
  /** All there are by now. */
  readonly all: () => Iterator<Address>;
  /** False while there is nothing to be gained by it. */
  readonly isOn: () => boolean;
  readonly look: (some: Iterable<Address>) => void;
  readonly signal: AbortSignal;
}

const sweepMs = 1000;
const sweepVips = 500;

/** Goes round until the signal is aborted. */
export function sweep({ all, isOn, look, signal }: SweepInput): void {
  let rest: Iterator<Address> | undefined;
  const turn = () => {
    if (!isOn()) return;
    const some: Address[] = [];
    while (some.length < sweepVips) {
      rest ??= all();
      const { value, done } = rest.next();
      if (done === true) {
        rest = undefined;
        break;
      }
      some.push(value);
    }
    look(some);
  };
  const timer = setInterval(turn, sweepMs).unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}
