// Passes the events of the agent on to the controller, the disk, the log and the tallies.

import type { Log } from '../process/log.ts';
import { messageOf } from '../process/message-of.ts';
import type { Ack, HeldVip, Refusal, TableName } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { Announcer } from './addresses/announce.ts';
import type { Journal } from './disk/journal.ts';
import type { Ledger } from './ledger.ts';
import type { LoopParts } from './loop.ts';
import { RepairLog } from './repair-log.ts';
import type { RulesParts } from './rules/rules.ts';
import { Acks } from './stream/acks.ts';
import { HeldUpdates } from './stream/held-updates.ts';
import type { Change } from './stream/received-table.ts';
import type { Session, SessionParts } from './stream/session.ts';
import type { Tallies } from './tallies.ts';
import { VipLog } from './vip-log.ts';

export interface ReporterParts {
  readonly ledger: Ledger;
  readonly journal: Journal;
  readonly tallies: Tallies;
  readonly log: Log;
  readonly announcer: Announcer;
  /** Whether a held address is usable and announced. */
  readonly isUsable: (address: Address) => boolean;
  /** Whether a held address is on a link that is down or has no carrier. */
  readonly isDown: (address: Address) => boolean;
  readonly now: () => number;
}

export class Reporter {
  /** Undefined at first; the hello of the session reports what happens before it is set. */
  session: Session | undefined;
  /** Why the last pass of the loop failed; empty once the kernel has been read again. */
  trouble = '';
  readonly acks: Acks;
  readonly #parts: ReporterParts;
  readonly #heldUpdates: HeldUpdates;
  readonly #vipLog: VipLog;
  readonly #repairLog: RepairLog;
  /** The VIPs that the agent held at its start have been announced. */
  #isIntroduced = false;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
    this.#vipLog = new VipLog(parts.ledger, parts.log);
    this.#repairLog = new RepairLog(parts.log);
    this.#heldUpdates = new HeldUpdates({
      held: () => this.heldVips(),
      of: (address) => this.#heldAt(address),
    });
    this.acks = new Acks((ack) => this.#ack(ack), parts.now);
  }

  #ack(ack: Ack): void {
    this.#parts.tallies.update.observe(ack.commitUs / 1e6);
    // A placement with only a new term changes no address, but the controller has to hear of the new term.
    if (ack.table === 'placements') this.held([]);
    this.session?.send(ack);
    this.#parts.log.debug(ack, 'acknowledged');
  }

  readonly refuse = (refusal: Refusal): void => {
    const { ledger, tallies, log } = this.#parts;
    // Another node may be given the VIP unheard, before this one takes it after all.
    if (this.session?.ruled !== true) ledger.claimLost(refusal.key);
    if (!ledger.refuse(refusal)) return;
    if (refusal.code === 'AddressConflict') tallies.conflicts++;
    if (ledger.isElsewhere(refusal)) log.debug({ ...refusal }, 'refused');
    else log.warn({ ...refusal }, 'refused');
    this.session?.send({ type: 'refused', ...refusal });
  };

  /** A refused resource is now in force, or no longer wanted. Tells the controller if it was refused. */
  readonly accept = (table: TableName, key: Address): void => {
    if (this.#parts.ledger.accept(table, key)) this.session?.send({ type: 'accepted', table, key });
  };

  /** These addresses came or went: tells the ruling controller, unless it knows. */
  held(addresses: Iterable<Address>): void {
    this.#heldUpdates.doubt(addresses);
    this.#vipLog.compare(addresses);
    // Without a ruling controller changes are kept for the next one, whose hello may predate them.
    const message = this.session?.ruled === true ? this.#heldUpdates.next() : null;
    if (message !== null) this.session?.send(message);
  }

  /** The usable VIPs that the node holds, with the term of their placement. */
  heldVips(): HeldVip[] {
    return [...this.#parts.ledger.carried()].flatMap((address) => this.#heldAt(address) ?? []);
  }

  /**
   * The changed placements, or all of them with the first whole table: an agent that ended right after it
   * took a VIP may not have announced it.
   */
  #toAnnounce({ set, isWhole }: Change): Change['set'] {
    if (!isWhole || this.#isIntroduced) return set;
    this.#isIntroduced = true;
    return [...(this.session?.placements.resources.values() ?? [])];
  }

  #heldAt(address: Address): HeldVip | undefined {
    const { ledger, isUsable, isDown } = this.#parts;
    const term = isUsable(address) ? ledger.heldBy(address) : undefined;
    if (term === undefined) return undefined;
    return isDown(address) ? { address, term, down: true } : { address, term };
  }

  get ofRules(): Pick<RulesParts, 'refuse' | 'committed' | 'overtaken' | 'observe'> {
    const { journal, ledger, tallies } = this.#parts;
    return {
      refuse: (key, services, reason) =>
        this.refuse({ table: 'rules', key, services, code: 'KernelRefused', reason }),
      committed: (keys) => {
        for (const key of keys) {
          journal.rule(key, ledger.committed.get(key));
          if (ledger.isInForce(key)) this.accept('rules', key);
        }
      },
      overtaken: () => this.acks.putBack(),
      observe: (micros) => tallies.commit.observe(micros / 1e6),
    };
  }

  get ofLoop(): Pick<LoopParts, 'onRefused' | 'accept' | 'onRepaired' | 'onTrouble' | 'onWell'> {
    const { log, tallies } = this.#parts;
    return {
      onRefused: this.refuse,
      accept: this.accept,
      onRepaired: (kind, objects) => {
        tallies.repair(kind, objects);
        this.#repairLog.add(kind, objects);
      },
      onTrouble: (error) => {
        const reason = messageOf(error);
        if (reason !== this.trouble) log.error({ reason }, 'kernelTrouble');
        this.trouble = reason;
      },
      onWell: () => {
        this.trouble = '';
        // The read may already have found new links or addresses, whose events then report nothing new.
        this.session?.reintroduce();
      },
    };
  }

  get ofSession(): Pick<SessionParts, 'onIdentity' | 'onRuler' | 'onChange'> {
    const { journal, ledger, announcer } = this.#parts;
    return {
      onIdentity: (cluster, generation) => journal.identity(cluster, generation),
      onRuler: (features) => {
        this.acks.restart();
        this.#heldUpdates.restart(features);
        this.held([]);
        // The new controller takes a resource as in force unless it is told of a refusal.
        for (const refusal of ledger.refusals) this.session?.send({ type: 'refused', ...refusal });
      },
      onChange: (change) => {
        if (change.table !== 'placements') return;
        announcer.follow({ ...change, set: this.#toAnnounce(change) }, ledger.held);
        this.#heldUpdates.doubt([...change.set.map(({ address }) => address), ...change.remove]);
        for (const placement of change.set)
          if ('term' in placement) journal.placement(placement.address, placement);
        for (const key of change.remove) journal.placement(key, undefined);
      },
    };
  }
}
