// Checks some of all VIPs each second, in turn, to find changes that no event reports.

import type { Address } from '../../../state/address.ts';

export interface SweepInput {
  /** Iterates over all VIPs at present. */
  readonly all: () => Iterator<Address>;
  /** False while a check would have no effect. */
  readonly isOn: () => boolean;
  readonly look: (some: Iterable<Address>) => void;
  readonly signal: AbortSignal;
}

const sweepMs = 1000;
const sweepVips = 500;

/** Runs until the signal is aborted. */
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
