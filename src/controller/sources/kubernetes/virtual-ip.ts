// Reads and writes VirtualIP objects, the records of which Services have an address. Pure.

import { type Address, AddressError, familyOf, parseAddress } from '../../../state/address.ts';
import { namesOf, parseServiceKey, type ServiceKey, ServiceKeyError } from '../../../state/service.ts';
import type { Term } from '../../../state/term.ts';
import type { Owner, Records } from '../../records/records.ts';
import type { VipState } from '../../status/vip-state.ts';
import { FieldError, type Mapping, mapping, sequence, textAt, wholeAt } from '../fields.ts';

export const virtualIpsPath = '/apis/vipward.io/v1alpha1/virtualips';

export function virtualIpPath(address: Address): string {
  return `${virtualIpsPath}/${virtualIpName(address)}`;
}

/** Most Services that a record names: the CRD of VirtualIP takes no more. */
export const mostNamed = 1024;
/**
 * Different conditions that are kept for sharing: records that come one after another often have equal ones.
 */
const mostShared = 64;

export interface Condition {
  readonly type: 'Ready' | 'Conflict';
  readonly status: 'True' | 'False';
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

export interface VirtualIpStatus {
  readonly node: string | null;
  readonly term: Term | null;
  readonly state: VipState;
  readonly services: string;
  readonly conditions: readonly Condition[];
}

/** The kept part of an object; `services` and `status` are compared as text with what they should be. */
export interface VirtualIpRecord {
  readonly address: Address;
  readonly uid: string;
  readonly generation: number;
  readonly pool: string;
  readonly services: readonly RecordedService[];
  /** The node that the user wants for it. */
  readonly node: string | null;
  readonly status: Mapping;
}

export interface RecordedService {
  readonly key: ServiceKey;
  /** Empty if unknown. */
  readonly uid: string;
}

/** The name of the VirtualIP of an address: names must not have colons, so IPv6 is written out. */
export function virtualIpName(address: Address): string {
  if (familyOf(address) === 4) return address;
  const [head = '', tail] = address.split('::');
  const groups = (text: string | undefined) => (text ?? '').split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].join('-');
}

/** Reads an object; null if it is no valid record, whoever made it. */
export function cutVirtualIp(object: Mapping): VirtualIpRecord | null {
  try {
    const metadata = mapping(object['metadata'], 'metadata');
    const spec = mapping(object['spec'], 'spec');
    return {
      address: parseAddress(textAt(spec['address'], 'spec.address')),
      uid: textAt(metadata['uid'], 'metadata.uid'),
      generation: wholeAt(metadata['generation'] ?? 0, 'metadata.generation'),
      pool: textAt(spec['pool'] ?? '', 'spec.pool'),
      services: sequence(spec['services'], 'spec.services').map((item) => {
        const { namespace, name, uid } = mapping(item, 'spec.services[]');
        const key = parseServiceKey(`${textAt(namespace, 'namespace')}/${textAt(name, 'name')}`);
        return { key, uid: textAt(uid ?? '', 'uid') };
      }),
      node: textAt(spec['node'] ?? '', 'spec.node') || null,
      status: mapping(object['status'] ?? {}, 'status'),
    };
  } catch (error) {
    const isForeign = [AddressError, FieldError, ServiceKeyError].some((known) => error instanceof known);
    if (isForeign) return null;
    throw error;
  }
}

/** Cuts objects as cutVirtualIp does, and shares equal conditions between them, to save memory. */
export function sharingCut(): (object: Mapping) => VirtualIpRecord | null {
  const shared = new Map<string, unknown>();
  return (object) => {
    const record = cutVirtualIp(object);
    const { conditions } = record?.status ?? {};
    if (record === null || conditions === undefined) return record;
    const text = JSON.stringify(conditions);
    if (!shared.has(text)) {
      if (shared.size >= mostShared) shared.clear();
      shared.set(text, conditions);
    }
    return { ...record, status: { ...record.status, conditions: shared.get(text) } };
  };
}

/**
 * The allocations and owners in the records. `uidOf` gives the UID of a Service as it was read, empty if
 * there is none.
 */
export function recordsOf(
  records: readonly VirtualIpRecord[],
  uidOf: (key: ServiceKey) => string,
): Pick<Records, 'allocations' | 'owners' | 'unheld'> {
  const unheld = records.filter(
    ({ status }) => status['state'] === 'pending' || status['state'] === 'refused',
  );
  return {
    allocations: allocationsOf(records, uidOf),
    owners: ownersOf(records),
    // A VIP that was refused may be held all the same: its node says so before any node is given it.
    unheld: new Set(unheld.map(({ address }) => address)),
  };
}

/** The addresses that records give to each Service, as the allocation of an earlier run. */
function allocationsOf(
  records: Iterable<VirtualIpRecord>,
  uidOf: (key: ServiceKey) => string,
): Map<ServiceKey, readonly Address[]> {
  const given = new Map<ServiceKey, { readonly address: Address; readonly uid: string }[]>();
  for (const { address, services, status } of records) {
    // A released record stays until every node has let go, and names the Services that had the address.
    if (status['state'] === 'released') continue;
    for (const { key, uid } of services) given.set(key, [...(given.get(key) ?? []), { address, uid }]);
  }
  const allocations = new Map<ServiceKey, readonly Address[]>();
  for (const [key, all] of given) {
    // A Service does not inherit addresses of an older one of its name if it has its own.
    const known = uidOf(key);
    const own = all.filter(({ uid }) => uid === '' || known === '' || uid === known);
    allocations.set(
      key,
      (own.length > 0 ? own : all).map(({ address }) => address),
    );
  }
  return allocations;
}

/** The owner of each address by the records. An agent that holds it by a later term overrides this. */
function ownersOf(records: Iterable<VirtualIpRecord>): Map<Address, Owner> {
  const owners = new Map<Address, Owner>();
  for (const { address, status } of records) {
    const { node, term } = status;
    const { generation, n } = (term ?? {}) as Partial<Term>;
    const isTerm = [generation, n].every((number) => Number.isSafeInteger(number) && Number(number) >= 0);
    if (typeof node !== 'string' || node === '' || !isTerm) continue;
    owners.set(address, { node, term: { generation: Number(generation), n: Number(n) } });
  }
  return owners;
}

export interface VirtualIpSpec {
  readonly address: Address;
  readonly pool: string;
  readonly services: readonly RecordedService[];
}

/**
 * The part of the spec that this file writes; preferences.ts alone writes `node`, which is the user's.
 * Services beyond mostNamed keep the address by their own status.
 */
export function virtualIpSpec({ address, pool, services }: VirtualIpSpec): object {
  const named = services.slice(0, mostNamed).map(({ key, uid }) => {
    return { ...namesOf(key), ...(uid === '' ? {} : { uid }) };
  });
  return { address, pool, services: named };
}

export interface ReportedState {
  readonly node: string | null;
  readonly term: Term | null;
  readonly state: VipState;
  readonly reason: string;
  readonly message: string;
}

/** The status to write. A condition keeps the time of its last transition while its status stays. */
export function virtualIpStatus(
  { node, term, state, reason, message }: ReportedState,
  services: readonly ServiceKey[],
  before: VirtualIpRecord,
  nowText: string,
): VirtualIpStatus {
  const conditionsBefore = sequence(before.status['conditions'] ?? [], 'status.conditions') as Condition[];
  const condition = (type: Condition['type'], isTrue: boolean): Condition => {
    const status = isTrue ? 'True' : 'False';
    const known = conditionsBefore.find((other) => other.type === type && other.status === status);
    return {
      type,
      status,
      observedGeneration: before.generation,
      lastTransitionTime: known?.lastTransitionTime ?? nowText,
      reason,
      message,
    };
  };
  const isConflict = reason === 'AddressConflict';
  return {
    node,
    term,
    state,
    services: textOf(services),
    conditions: [condition('Ready', state === 'serving'), condition('Conflict', isConflict)],
  };
}

function textOf(services: readonly ServiceKey[]): string {
  const more = services.length - mostNamed;
  const named = services.slice(0, mostNamed).join(', ');
  return more > 0 ? `${named} and ${more} more` : named;
}

/** True if the object has this status already. The server leaves out null members. */
export function saysAlready({ status: before }: VirtualIpRecord, status: VirtualIpStatus): boolean {
  const { node, term, state, services, conditions } = before;
  return canonical({ node, term, state, services, conditions }) === canonical(status);
}

/** JSON with sorted fields, so that their order does not matter. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part === null) return undefined;
    if (typeof part !== 'object' || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part as object).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
