// A controller that begins to rule over VIPs, with endpoints as a cluster reports them, and agents without
// sockets.

import { equal } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { Controller } from '../../src/controller/controller.ts';
import { Eligibility, type EndpointNodes, gatherMs } from '../../src/controller/owners/eligibility.ts';
import type { Owner, Records } from '../../src/controller/records/records.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import { type Session, Sessions } from '../../src/controller/sessions.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Hello } from '../../src/protocol/messages.ts';
import { type Address, parsePrefix } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import type { Term } from '../../src/state/term.ts';
import { serviceObject } from './fixture.ts';

export const vip = '10.77.0.100' as Address;
/** The term under which `a` has all VIPs, unless a test gives another. */
export const term: Term = { generation: 1, n: 1 };

/** The Services of the VIPs, in the same order: the first one has `vip`. */
export function servicesOf(count: number, spec: object = {}): readonly ServiceManifest[] {
  const objects = Array.from({ length: count }, (_, index) => serviceObject(nameOf(index), { spec }));
  return objects.flatMap((object) => readDocument(object).services);
}

function nameOf(index: number): string {
  return `web-${index}`;
}

export interface RulingSetup {
  /** The nodes that have endpoints; null while that is not known. */
  readonly endpoints?: ReadonlySet<string> | null;
  /** For endpoints that are not the same for every Service. */
  readonly endpointNodes?: EndpointNodes;
  /** How many VIPs there are. */
  readonly count?: number;
  /** The term under which `a` has them; the controller rules in the next generation. */
  readonly term?: Term;
  /** Whether it may write a generation to its records. */
  readonly mayRaise?: () => boolean;
  readonly nowMs?: () => number;
  /** Nodes that the records have as drained. */
  readonly drained?: readonly string[];
  /** The records of an earlier controller, instead of all the above that is of records. */
  readonly records?: Records;
}

export interface Ruling {
  readonly controller: Controller;
  readonly eligibility: Eligibility;
  readonly sessions: Sessions;
}

/** A controller that begins to rule over VIPs that `a` has by the records. */
export function ruling({ endpoints = null, count = 1, ...more }: RulingSetup = {}): Ruling {
  const held = more.term ?? term;
  const vips = Array.from({ length: count }, (_, index) => `10.77.0.${100 + index}` as Address);
  const controller: Controller = new Controller({
    records: more.records ?? {
      cluster: 'c',
      generation: held.generation + 1,
      former: new Map(),
      unheld: new Set(),
      drained: more.drained ?? [],
      allocations: new Map(vips.map((address, index) => [`demo/${nameOf(index)}` as ServiceKey, [address]])),
      owners: new Map<Address, Owner>(vips.map((address) => [address, { node: 'a', term: held }])),
    },
    pools: parsePools(['p=10.77.0.100-10.77.0.199']),
    filterByDefault: true,
    nowMs: more.nowMs ?? (() => 0),
    ...(more.mayRaise === undefined ? {} : { mayRaise: more.mayRaise }),
    onChange: () => undefined,
    onTouched: (addresses) => eligibility.review(addresses),
  });
  const endpointNodes = more.endpointNodes ?? (() => endpoints);
  const eligibility: Eligibility = new Eligibility({ controller, endpointNodes });
  const quiet = () => undefined;
  const sessions = new Sessions(controller, {
    generationRaised: quiet,
    refused: quiet,
    impossibleTerm: quiet,
    progressed: () => eligibility.progressed(),
  });
  return { controller, eligibility, sessions };
}

/** The hello of a node that is on the link of the VIPs. */
export const hello = (node: string, held: Hello['held'] = []): Hello => ({
  type: 'hello',
  version: '0',
  features: [],
  node,
  firewall: 'nftables',
  cluster: 'c',
  generation: 1,
  allow: [parsePrefix('10.77.0.0/24')],
  onLink: [parsePrefix('10.77.0.0/24')],
  held,
  rules: { count: 0, digests: {} },
  placements: { count: 0, digests: {} },
});

/** Connects a node, which commits all rules. */
export function joined({ controller, sessions }: Ruling, said: Hello): Session {
  const session = sessions.open(said, { send: () => undefined, bufferedAmount: 0 });
  sessions.begin(session);
  const { seq } = controller.rules;
  equal(sessions.message(session, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
  return session;
}

/** Begins placement, and waits until the messages of the nodes are processed. */
export async function settled({ controller, eligibility }: Ruling): Promise<void> {
  controller.owners.settle();
  eligibility.progressed();
  await sleep(2 * gatherMs);
}
