// The objects of the nftables dialect as comparable values: tables, sets, chains with their rules, and
// elements.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { KernelObject } from '../dialect.ts';
import { NFT_SET_EVAL, NFT_SET_TIMEOUT } from './constants.ts';

export interface TableObject extends KernelObject {
  readonly kind: 'table';
  readonly flags: number;
  /** -1 for a table that has our name but was not made by us. */
  readonly layout: number;
}

export interface SetObject extends KernelObject {
  readonly kind: 'set';
  readonly name: string;
  readonly keyType: number;
  readonly keyLengthBytes: number;
  /** 0 for a set that has our name but was not made by us: it is replaced with all its elements. */
  readonly size: number;
  readonly counter: boolean;
  /**
   * 0 for ordinary sets. Otherwise the rules fill the set, an element expires this long after its last
   * packet, and its elements are not objects.
   */
  readonly timeoutMs: number;
}

export interface Hook {
  readonly number: number;
  readonly priority: number;
}

/** A chain and its rules, compared and replaced as one. `hook` is null for a chain that is only jumped to. */
export interface ChainObject extends KernelObject {
  readonly kind: 'chain';
  readonly name: string;
  readonly hook: Hook | null;
  readonly rules: readonly Uint8Array[];
}

export interface ElementObject extends KernelObject {
  readonly kind: 'element';
  readonly set: string;
  /** One character per byte. */
  readonly key: string;
}

export type NftObject = TableObject | SetObject | ChainObject | ElementObject;

/**
 * `adopted` is false if the table was found without an owner. It then has to be claimed even if nothing else
 * differs.
 */
export function tableObject(flags: number, layout: number, adopted: boolean): TableObject {
  const content = adopted ? '' : 'without owner';
  return { kind: 'table', id: `table ${flags} layout ${layout}`, content, flags, layout, ...constant };
}

export type SetShape = Pick<
  SetObject,
  'name' | 'keyType' | 'keyLengthBytes' | 'size' | 'counter' | 'timeoutMs'
>;

export function setObject(shape: SetShape): SetObject {
  const { name, keyType, keyLengthBytes, size, counter, timeoutMs } = shape;
  return {
    kind: 'set',
    id: `set ${name}`,
    content: `${keyType} ${keyLengthBytes} ${size} ${counter} ${timeoutMs}`,
    name,
    keyType,
    keyLengthBytes,
    size,
    counter,
    timeoutMs,
    ...constant,
  };
}

/** The NFTA_SET_FLAGS that describe the elements of a set. */
export function setFlags({ timeoutMs }: SetShape): number {
  return timeoutMs > 0 ? NFT_SET_TIMEOUT | NFT_SET_EVAL : 0;
}

/**
 * `sets` are the sets that the rules may look into. They are part of the content, because every rule must
 * release a set before the set can be replaced.
 */
export function chainObject(
  name: string,
  hook: Hook | null,
  rules: readonly Uint8Array[],
  sets: readonly SetObject[],
): ChainObject {
  const place = hook === null ? '' : `${hook.number} ${hook.priority}`;
  const versions = sets.map((set) => setHandle(set).version).sort();
  const content = `${place}\n${versions.join(', ')}\n${rules.map(latin1).join('\n')}`;
  return { kind: 'chain', id: `chain ${name}`, content, name, hook, rules, ...constant };
}

/** `version` distinguishes two sets of the same name: elements of another version must all be added again. */
export interface SetHandle {
  readonly name: string;
  readonly version: string;
}

export function setHandle({ name, content }: SetObject): SetHandle {
  return { name, version: `${name}#${content}` };
}

export function elementObject(
  set: SetHandle,
  key: string,
  owner: Address | null,
  service: ServiceKey | null = null,
): ElementObject {
  return new Element(set, key, owner, service);
}

/** Only a diff of elements needs ids, so an id is made when it is read. */
class Element implements ElementObject {
  readonly kind = 'element';
  readonly content = '';
  readonly foreign = false;
  readonly set: string;
  readonly version: string;
  readonly key: string;
  readonly owner: Address | null;
  readonly service: ServiceKey | null;

  constructor(set: SetHandle, key: string, owner: Address | null, service: ServiceKey | null) {
    this.set = set.name;
    this.version = set.version;
    this.key = key;
    this.owner = owner;
    this.service = service;
  }

  get id(): string {
    return `${this.version}:${this.key}`;
  }

  equals(other: KernelObject): boolean {
    return other instanceof Element && this.key === other.key && this.version === other.version;
  }
}

/** The same elements, attached to the sets of the same name among these constants. */
export function inSetsOf(
  constants: readonly NftObject[],
  elements: readonly ElementObject[],
): ElementObject[] {
  const sets = constants.filter((one) => one.kind === 'set');
  const handles = new Map(sets.map((set) => [set.name, setHandle(set)]));
  return elements.flatMap(({ set, key, owner, service }) => {
    const handle = handles.get(set);
    return handle === undefined ? [] : [elementObject(handle, key, owner, service)];
  });
}

/** The name of a set, or of an element's set; empty for other objects. */
export function setOf(object: NftObject): string {
  if (object.kind === 'element') return object.set;
  return object.kind === 'set' ? object.name : '';
}

/** The length of an address in the keys of a set: 4 bytes for `src4_26`, 16 for `allow6`. */
export function addressLength(set: string): 4 | 16 {
  return /\d/.exec(set)?.[0] === '6' ? 16 : 4;
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let index = 0; index < bytes.length; index++) text += String.fromCharCode(bytes[index] ?? 0);
  return text;
}

const constant = { owner: null, service: null, foreign: false } as const;
