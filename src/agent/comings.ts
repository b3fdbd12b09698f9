// The VIPs that this node takes and lets go of, for a log that is asked for as much: otherwise it costs
// nothing.

import type { Log, LogLevel } from '../process/log.ts';
import type { Address } from '../state/address.ts';
import type { Ledger } from './ledger.ts';

const level: LogLevel = 'debug';

export class Comings {
  readonly #ledger: Pick<Ledger, 'held'>;
  readonly #log: Log;
  /** What was held by the last line; undefined while nobody asks. */
  #held: Set<Address> | undefined;

  constructor(ledger: Pick<Ledger, 'held'>, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
    if (log.isLevelEnabled(level)) this.#held = new Set(ledger.held.keys());
  }

  /** These addresses may have come or gone. What was held when the log began to ask is no news. */
  tell(addresses: Iterable<Address>): void {
    if (!this.#log.isLevelEnabled(level)) this.#held = undefined;
    else if (this.#held === undefined) this.#held = new Set(this.#ledger.held.keys());
    else for (const address of addresses) this.#compare(address, this.#held);
  }

  #compare(address: Address, held: Set<Address>): void {
    const isHeld = this.#ledger.held.has(address);
    if (isHeld === held.has(address)) return;
    if (isHeld) held.add(address);
    else held.delete(address);
    this.#log.debug({ address }, isHeld ? 'vipTaken' : 'vipLetGo');
  }
}
