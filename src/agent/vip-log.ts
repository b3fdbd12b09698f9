// Logs each VIP that this node takes or lets go of, at debug level. Costs nothing at higher levels.

import type { Log, LogLevel } from '../process/log.ts';
import type { Address } from '../state/address.ts';
import type { Ledger } from './ledger.ts';

const level: LogLevel = 'debug';

export class VipLog {
  readonly #ledger: Pick<Ledger, 'held'>;
  readonly #log: Log;
  /** The held VIPs as last logged; undefined while the level is off. */
  #held: Set<Address> | undefined;

  constructor(ledger: Pick<Ledger, 'held'>, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
    if (log.isLevelEnabled(level)) this.#held = new Set(ledger.held.keys());
  }

  /** Logs which of these were taken or let go of. VIPs held when the level was turned on are not logged. */
  compare(addresses: Iterable<Address>): void {
    if (!this.#log.isLevelEnabled(level)) this.#held = undefined;
    else if (this.#held === undefined) this.#held = new Set(this.#ledger.held.keys());
    else for (const address of addresses) this.#logChange(address, this.#held);
  }

  #logChange(address: Address, held: Set<Address>): void {
    const isHeld = this.#ledger.held.has(address);
    if (isHeld === held.has(address)) return;
    if (isHeld) held.add(address);
    else held.delete(address);
    this.#log.debug({ address }, isHeld ? 'vipTaken' : 'vipLetGo');
  }
}
