// The objects of the xtables dialect as comparable values: ipset sets, their elements, and our part of a
// table.

import type { Address } from '../../state/address.ts';
import { protocolText } from '../../state/port.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { KernelObject } from '../dialect.ts';
import type { SetType } from './constants.ts';
import { type RuleSpec, ruleText } from './rule.ts';

export interface SetObject extends KernelObject {
  readonly kind: 'set';
  readonly name: string;
  readonly type: SetType;
  readonly family: 4 | 6;
  readonly size: number;
  readonly counters: boolean;
  /** The lifetime of an element after its last ADD, in seconds; 0 means unlimited. */
  readonly timeoutSeconds: number;
}

/** The fields of an element, as far as the type of its set uses them. */
export interface Key {
  readonly address: Address;
  readonly protocol: number;
  readonly port: number;
  readonly source: Address | null;
  readonly sourceLength: number;
}

export interface ElementObject extends KernelObject {
  readonly kind: 'element';
  readonly set: string;
  readonly key: Key;
}

export interface Chain {
  readonly name: string;
  readonly rules: readonly RuleSpec[];
}

/** Our part of one table: jumps before each hook's other rules, and the chains they jump to. */
export interface TableObject extends KernelObject {
  readonly kind: 'table';
  readonly family: 4 | 6;
  readonly table: string;
  readonly jumps: ReadonlyMap<number, readonly RuleSpec[]>;
  readonly chains: readonly Chain[];
}

export type XtObject = SetObject | ElementObject | TableObject;

export type SetShape = Pick<SetObject, 'name' | 'type' | 'family' | 'size' | 'counters' | 'timeoutSeconds'>;

export function setObject(shape: SetShape): SetObject {
  const { name, type, family, size, counters, timeoutSeconds } = shape;
  const content = `${type} ${family} ${size} ${counters} ${timeoutSeconds}`;
  const own = { name, type, family, size, counters, timeoutSeconds };
  return { kind: 'set', id: `set ${name}`, content, ...own, ...constant };
}

export type TableShape = Pick<TableObject, 'family' | 'table' | 'jumps' | 'chains'>;

/** `stray` describes our rules that were found in a wrong place. */
export function tableObject({ family, table, jumps, chains }: TableShape, stray = ''): TableObject {
  const hooks = [...jumps].map(([hook, rules]) => `${hook}: ${rules.map(ruleText).join('\n')}`);
  const bodies = chains.map(({ name, rules }) => `${name}: ${rules.map(ruleText).join('\n')}`);
  const content = [...hooks, ...bodies.sort(), stray].join('\n');
  return { kind: 'table', id: tableId(family, table), content, family, table, jumps, chains, ...constant };
}

function tableId(family: 4 | 6, table: string): string {
  return `table ip${family === 4 ? '' : '6'} ${table}`;
}

/** `version` distinguishes two sets of the same name: elements of another version must all be added again. */
export interface SetHandle {
  readonly name: string;
  readonly version: string;
}

export function setHandle({ name, content }: SetObject): SetHandle {
  return { name, version: `${name}#${content}` };
}

export function elementObject(set: SetHandle, key: Key, service: ServiceKey | null = null): ElementObject {
  return new Element(set, key, service);
}

/** Only a diff of elements needs ids, so an id is made when it is read. */
class Element implements ElementObject {
  readonly kind = 'element';
  readonly content = '';
  readonly foreign = false;
  readonly set: string;
  readonly version: string;
  readonly key: Key;
  readonly service: ServiceKey | null;

  constructor(set: SetHandle, key: Key, service: ServiceKey | null) {
    this.set = set.name;
    this.version = set.version;
    this.key = key;
    this.service = service;
  }

  get owner(): Address {
    return this.key.address;
  }

  get id(): string {
    return `${this.version}:${keyText(this.key)}`;
  }

  equals(other: KernelObject): boolean {
    return other instanceof Element && this.version === other.version && isSameKey(this.key, other.key);
  }
}

/** The same elements, attached to the sets of the same name among these constants. */
export function inSetsOf(
  constants: readonly XtObject[],
  elements: readonly ElementObject[],
): ElementObject[] {
  const sets = constants.filter((one) => one.kind === 'set');
  const handles = new Map(sets.map((set) => [set.name, setHandle(set)]));
  return elements.flatMap(({ set, key, service }) => {
    const handle = handles.get(set);
    return handle === undefined ? [] : [elementObject(handle, key, service)];
  });
}

/** The name of a set, or of an element's set; empty for other objects. */
export function setOf(object: XtObject): string {
  if (object.kind === 'element') return object.set;
  return object.kind === 'set' ? object.name : '';
}

/** The key in ipset syntax: `10.0.0.1,tcp:80,10.0.0.0/8`. */
export function keyText({ address, protocol, port, source, sourceLength }: Key): string {
  if (protocol === 0) return address;
  const text = `${address},${protocolText(protocol)}:${port}`;
  return source === null ? text : `${text},${source}/${sourceLength}`;
}

function isSameKey(one: Key, other: Key): boolean {
  if (one.port !== other.port || one.protocol !== other.protocol || one.address !== other.address)
    return false;
  return one.source === other.source && one.sourceLength === other.sourceLength;
}

export function addressKey(address: Address): Key {
  return { address, protocol: 0, port: 0, source: null, sourceLength: 0 };
}

const constant = { owner: null, service: null, foreign: false } as const;
