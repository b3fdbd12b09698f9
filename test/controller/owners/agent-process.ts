// The session, admission, ledger and reporter of a real agent, without sockets and kernel, and the disk that
// they are restored from.

import { pino } from 'pino';
import { Allowed } from '../../../src/agent/addresses/allowed.ts';
import { Ledger } from '../../../src/agent/ledger.ts';
import { Reporter } from '../../../src/agent/reporter.ts';
import { Admission, type Entry } from '../../../src/agent/stream/admission.ts';
import type { Change } from '../../../src/agent/stream/received-table.ts';
import { Session, type SessionParts } from '../../../src/agent/stream/session.ts';
import { Tallies } from '../../../src/agent/tallies.ts';
import { sha256 } from '../../../src/controller/stream/table.ts';
import { type Address, parsePrefix } from '../../../src/state/address.ts';
import type { Placement, VirtualIp } from '../../../src/state/virtual-ip.ts';

const onLink = [parsePrefix('10.77.0.0/24')];
const log = pino({ level: 'silent' });
const nothing = (): void => undefined;
const now = (): number => 0;

/** What survives the process. */
export interface Disk {
  cluster: string | null;
  generation: number;
  readonly rules: Map<Address, VirtualIp>;
  readonly placements: Map<Address, Placement>;
}

export class AgentProcess {
  readonly ledger: Ledger = new Ledger();
  readonly reporter: Reporter;
  readonly session: Session;
  /** The first claims that are being probed; true if another node has probed for the address meanwhile. */
  readonly probes: Map<Address, boolean> = new Map();
  inSync = false;
  readonly #admission: Admission;

  constructor(node: string, mac: string, disk: Disk, follow: (change: Change) => void = nothing) {
    const { ledger } = this;
    const allow = new Allowed(onLink);
    this.reporter = new Reporter({
      ledger,
      journal: journalOf(disk) as never,
      tallies: new Tallies(),
      log,
      announcer: { follow } as never,
      isUsable: () => true,
      isDown: () => false,
      now,
    });
    this.#admission = new Admission({
      ledger,
      allow,
      network: { ownAddress: () => undefined, strangers: () => new Map() },
      onRefused: this.reporter.refuse,
      accept: this.reporter.accept,
      onUnplaced: (key) => this.probes.delete(key),
    });
    this.session = new Session(
      {
        ...{ node, version: '0', firewall: 'nftables', allow, hash: sha256, now, prepare: nothing },
        links: () => ({ onLink, macs: [mac] }),
        ways: () => [],
        held: () => this.reporter.heldVips(),
        loop: this.#loop() as never,
        ...this.reporter.ofSession,
      },
      disk,
    );
    this.reporter.session = this.session;
    this.#restore(disk);
  }

  #loop(): Pick<SessionParts['loop'], 'enter' | 'receive' | 'synced'> {
    return {
      enter: (entry: Entry) => void this.#admission.enter(entry),
      receive: (change: Change) => {
        this.#admission.enter(change);
        this.reporter.acks.add(change);
      },
      synced: () => {
        this.inSync = true;
      },
    };
  }

  /** As parts.ts does. */
  #restore(disk: Disk): void {
    const [rules, placements] = [[...disk.rules.values()], [...disk.placements.values()]];
    this.session.rules.restore(rules);
    this.session.placements.restore(placements);
    const first = [...disk.placements.keys()];
    this.#admission.enter({ table: 'rules', set: rules, remove: [], first: [], isWhole: false });
    this.#admission.enter({ table: 'placements', set: placements, remove: [], first, isWhole: false });
  }
}

function journalOf(disk: Disk) {
  const put = <Row>(rows: Map<Address, Row>, key: Address, row: Row | undefined): void => {
    if (row === undefined) rows.delete(key);
    else rows.set(key, row);
  };
  return {
    identity: (cluster: string | null, generation: number) => Object.assign(disk, { cluster, generation }),
    rule: (key: Address, vip: VirtualIp | undefined) => put(disk.rules, key, vip),
    placement: (key: Address, placement: Placement | undefined) => put(disk.placements, key, placement),
  };
}
