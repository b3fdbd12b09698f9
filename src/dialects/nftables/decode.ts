// Replies to dumps -> the objects in the table, in the shape that render() makes, so that a diff can compare
// them.

import {
  type Attributes,
  attributeList,
  attributesOf,
  messagesOf,
  type Message as NetlinkMessage,
  u32Be,
} from '../../netlink/reader.ts';
import { formatAddress } from '../../state/address.ts';
import type { Needs } from '../../state/desired-state.ts';
import type { KernelObjects } from '../dialect.ts';
import {
  DATA_VALUE,
  ElementAttribute,
  ElementListAttribute,
  EXPR_NAME,
  layout,
  Message,
  NFPROTO_INET,
  RuleAttribute,
  TableAttribute,
  tableName,
} from './constants.ts';
import { setNames } from './dumps.ts';
import { keyOf } from './key.ts';
import {
  addressLength,
  type ElementObject,
  elementObject,
  inSetsOf,
  type NftObject,
  type SetObject,
  setHandle,
  setObject,
  tableObject,
} from './objects.ts';
import { type Entry, readChains, readSets, readTable } from './read-table.ts';

/** The message types of dump replies. */
const answers: ReadonlySet<number> = new Set([
  Message.NEWTABLE,
  Message.NEWSET,
  Message.NEWCHAIN,
  Message.NEWRULE,
  Message.NEWSETELEM,
]);
/** struct nfgenmsg precedes the attributes of every message. */
const headerBytes = 4;

const ourSets: ReadonlySet<string> = new Set([...setNames, 'seen4', 'seen6', 'sent4', 'sent6']);

/**
 * The objects in the table. A table with other flags or another layout is returned alone: it is replaced as a
 * whole, so its contents do not count.
 */
export function decode(replies: readonly Uint8Array[], tableFlags: number): KernelObjects<NftObject> {
  const [tables, sets, chains, rules, ...elements] = replies.map((reply) => [...ours(reply)]);
  const objects: NftObject[] = [];
  for (const { attributes } of tables ?? []) objects.push(readTable(attributes));
  const table = objects[0];
  if (table === undefined || table.id !== tableObject(tableFlags, layout, true).id) {
    return { constants: objects, elements: [], needs: null };
  }
  const byName = new Map(readSets(sets ?? []).map((set) => [set.name, set]));
  const read = elements.flatMap((entries) => readElements(entries, byName));
  const found = [...byName.values()];
  // A foreign set does not matter here: a rule that looks into one differs itself.
  const lookedInto = found.filter(({ name }) => ourSets.has(name));
  objects.push(...found, ...readChains(chains ?? [], rules ?? [], lookedInto));
  const isConstant = (object: NftObject) => object.owner === null;
  return {
    constants: [...objects, ...read.filter(isConstant)],
    elements: read.filter((object) => !isConstant(object)),
    needs: needsOf(byName, rules ?? []),
  };
}

/**
 * The owner of the table from a reply to tableDump(): a netlink port id, 0 for none, undefined if there is
 * no table.
 */
export function tableOwner(reply: Uint8Array): number | undefined {
  for (const { attributes } of ours(reply)) return u32Be(attributes.bytes(TableAttribute.OWNER));
  return undefined;
}

/** Whether a message (a dump reply or an event) is about our table. */
export function isOurs({ payload }: NetlinkMessage): boolean {
  if (payload[0] !== NFPROTO_INET) return false;
  return attributesOf(payload, headerBytes).text(1) === tableName;
}

/** Attribute 1 is the table's name in every message type; in a table message it is the table's own name. */
function* ours(reply: Uint8Array): Generator<Entry, void, undefined> {
  for (const message of messagesOf(reply)) {
    if (!answers.has(message.type) || !isOurs(message)) continue;
    yield { type: message.type, attributes: attributesOf(message.payload, headerBytes) };
  }
}

/**
 * All elements of one set. An element without a key matches every absent key (NFT_SET_ELEM_CATCHALL, Linux
 * 5.13). A set with such an element is given size 0, so that it is replaced with all its elements.
 */
function readElements(entries: readonly Entry[], sets: Map<string, SetObject>): ElementObject[] {
  const name = entries[0]?.attributes.text(ElementListAttribute.SET) ?? '';
  const set = sets.get(name);
  if (set === undefined) return [];
  // The VIP is the first field of every key except an ICMP type.
  const ownerBytes = set.keyLengthBytes === 1 ? 0 : addressLength(name);
  const handle = setHandle(set);
  const elements: ElementObject[] = [];
  let hasCatchAll = false;
  for (const { attributes } of entries) {
    for (const [, item] of attributeList(attributes.bytes(ElementListAttribute.ELEMENTS))) {
      const data = attributesOf(item).get(ElementAttribute.KEY);
      const key = data === undefined ? undefined : attributesOf(data).get(DATA_VALUE);
      const owner = key === undefined || ownerBytes === 0 ? null : formatAddress(key.subarray(0, ownerBytes));
      if (key === undefined) hasCatchAll = true;
      else elements.push(elementObject(handle, keyOf(key), owner));
    }
  }
  if (!hasCatchAll) return elements;
  const without = setObject({ ...set, size: 0 });
  sets.set(name, without);
  return inSetsOf([without], elements);
}

/** Reads from the table the needs it was made for; the inverse of ruleset(). */
function needsOf(sets: ReadonlyMap<string, SetObject>, rules: readonly Entry[]): Needs {
  const size = (...names: string[]): number => Math.max(0, ...names.map((name) => sets.get(name)?.size ?? 0));
  const sources = (of: 4 | 6): string[] => [...sets.keys()].filter((name) => name.startsWith(`src${of}_`));
  const lengths = (of: 4 | 6): number[] =>
    sources(of)
      .map((name) => Number(name.slice(name.indexOf('_') + 1)))
      .sort((a, b) => a - b);
  return {
    sourceLengths4: lengths(4),
    sourceLengths6: lengths(6),
    egress: sets.has('egress4'),
    forward: rules.some(({ attributes }) => usesConntrack(attributes)),
    capacities: {
      vips4: size('vip4', 'drop4'),
      vips6: size('vip6', 'drop6'),
      ports4: size('allow4', 'host4'),
      ports6: size('allow6', 'host6'),
      sources4: size(...sources(4)),
      sources6: size(...sources(6)),
    },
  };
}

function usesConntrack(rule: Attributes): boolean {
  for (const [, item] of attributeList(rule.bytes(RuleAttribute.EXPRESSIONS))) {
    if (attributesOf(item).text(EXPR_NAME) === 'ct') return true;
  }
  return false;
}
