// The parts of an agent, wired together. Nothing runs yet.

import { hash } from 'node:crypto';
import type { Kernel } from '../host/kernel.ts';
import type { Native } from '../host/native.ts';
import type { Log } from '../process/log.ts';
import type { Address } from '../state/address.ts';
import { Allowed } from './addresses/allowed.ts';
import { Announcer } from './addresses/announce.ts';
import { Holder } from './addresses/holder.ts';
import { nameservers } from './addresses/nameservers.ts';
import { Network } from './addresses/network.ts';
import { Prober } from './addresses/prober.ts';
import type { AgentConfig } from './config.ts';
import { Journal } from './disk/journal.ts';
import type { SavedJournal, SavedState } from './disk/journal-file.ts';
import type { Firewall } from './firewall/firewall.ts';
import { retireOthers } from './firewall/open-firewall.ts';
import { Retirement } from './firewall/retirement.ts';
import { Ledger } from './ledger.ts';
import { Loop } from './loop.ts';
import { commitIntervalMs, Pace } from './pace.ts';
import { Reporter } from './reporter.ts';
import { Census } from './rules/census.ts';
import { Rules } from './rules/rules.ts';
import { Session, type SessionParts } from './stream/session.ts';
import { Tallies } from './tallies.ts';

/** What an agent finds when it starts. */
export interface PartsInput {
  readonly config: AgentConfig;
  readonly version: string;
  readonly native: Native;
  readonly log: Log;
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  /** The last state on disk. */
  readonly saved: SavedJournal;
}

/** A part reaches those that are made after it through these fields. */
export class Parts {
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly ledger: Ledger = new Ledger();
  readonly tallies: Tallies = new Tallies();
  readonly allowed: Allowed;
  readonly network: Network;
  readonly announcer: Announcer;
  readonly prober: Prober;
  readonly journal: Journal;
  readonly reporter: Reporter;
  readonly retirement: Retirement;
  readonly rules: Rules;
  readonly holder: Holder;
  readonly pace: Pace;
  readonly loop: Loop;
  readonly session: Session;

  constructor(input: PartsInput) {
    const { native, log, kernel, firewall, saved } = input;
    const { values, allow } = input.config;
    this.kernel = kernel;
    this.firewall = firewall;
    this.allowed = new Allowed(allow);
    this.network = new Network(kernel, values.interface);
    this.announcer = new Announcer(native, this.network);
    this.prober = new Prober(native, this.network, values.firstClaim, (found) => this.loop.revisit(found));
    this.journal = new Journal(values.state, saved, (reason) =>
      reason === '' ? log.info('stateWritten') : log.error({ reason }, 'stateUnwritable'),
    );
    this.reporter = this.#makeReporter(log);
    this.retirement = new Retirement({ retire: () => retireOthers(kernel, firewall.dialect.name), log });
    this.rules = this.#makeRules(new Census(values.setSize));
    this.holder = this.#makeHolder();
    this.pace = new Pace(values.commitInterval ?? commitIntervalMs(0), now);
    this.loop = this.#makeLoop();
    this.session = this.#makeSession(input);
    this.reporter.session = this.session;
    this.#restore(saved.state);
  }

  /** Enters the last state from disk, which the loop then brings into force. */
  #restore({ rules, placements }: SavedState): void {
    const { session, loop } = this;
    session.rules.restore(rules.values());
    session.placements.restore(placements.values());
    loop.enter({ table: 'rules', set: [...rules.values()], remove: [], first: [], isWhole: false });
    // No controller has confirmed these placements yet, so the agent probes them like first claims.
    const first = [...placements.keys()];
    loop.enter({ table: 'placements', set: [...placements.values()], remove: [], first, isWhole: false });
  }

  #makeReporter(log: Log): Reporter {
    const { ledger, journal, tallies, announcer } = this;
    const isUsable = (address: Address): boolean => this.holder.isUsable(address);
    const isDown = (address: Address): boolean => this.holder.places.isDown(address);
    return new Reporter({ ledger, journal, tallies, log, announcer, isUsable, isDown, now });
  }

  #makeRules(census: Census): Rules {
    const { kernel, firewall, ledger } = this;
    return new Rules({
      kernel,
      firewall,
      ledger,
      census,
      ...this.reporter.ofRules,
      isOwn: (key) => this.network.ownAddress(key) !== undefined,
      withdraw: (keys) => this.holder.withdraw(keys),
      retain: (isGuarded) => this.holder.retain(isGuarded),
      onComplete: () => this.retirement.begin(),
    });
  }

  #makeHolder(): Holder {
    const { kernel, ledger, network, announcer, prober, reporter } = this;
    return new Holder({
      kernel,
      ledger,
      network,
      announcer,
      prober,
      nameservers,
      refuse: reporter.refuse,
      accept: (key) => reporter.accept('placements', key),
      onHeld: (addresses) => {
        reporter.held(addresses);
        this.loop.wake();
      },
    });
  }

  #makeLoop(): Loop {
    const { ledger, rules, holder, pace, reporter, allowed: allow, network } = this;
    const { acks, ofLoop } = reporter;
    return new Loop({ ledger, rules, holder, pace, acks, allow, network, ...ofLoop });
  }

  #makeSession({ config, version, saved }: PartsInput): Session {
    const { kernel, firewall, network, allowed, loop, reporter } = this;
    const parts: SessionParts = {
      node: config.node,
      version,
      firewall: firewall.dialect.name,
      allow: allowed,
      loop,
      now,
      held: () => reporter.heldVips(),
      prepare: () => kernel.prepare(),
      hash: (text) => hash('sha256', text),
      links: () => ({ onLink: network.onLink(allowed.prefixes), macs: network.macs() }),
      ways: () => network.ways(allowed.prefixes),
      ...reporter.ofSession,
    };
    return new Session(parts, saved.state);
  }
}

/** The monotonic clock, in milliseconds. */
function now(): number {
  return performance.now();
}
