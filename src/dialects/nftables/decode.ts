// Replies to dumps -> the objects the table holds, in the same shape that render() makes, so that they
// compare.

import { nfgenmsg } from '../../netlink/batch.ts';
import { NLM_F_DUMP, NLM_F_REQUEST } from '../../netlink/message.ts';
import {
  type Attributes,
  attributeList,
  attributesOf,
  messagesOf,
  type Message as NetlinkMessage,
  textOf,
  u32Be,
  u64Be,
} from '../../netlink/reader.ts';
import { Writer } from '../../netlink/writer.ts';
import { formatAddress } from '../../state/address.ts';
import type { Needs } from '../../state/desired-state.ts';
import type { DumpRequest, KernelObjects } from '../dialect.ts';
import {
  ChainAttribute,
  DATA_VALUE,
  DescAttribute,
  ElementAttribute,
  ElementListAttribute,
  EXPR_NAME,
  HookAttribute,
  layout,
  Message,
  NF_ACCEPT,
  NFPROTO_INET,
  NFT_SET_ANONYMOUS,
  NFT_TABLE_F_OWNER,
  NFT_TABLE_F_PERSIST,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
  tableName,
} from './constants.ts';
import {
  addressLength,
  type ChainObject,
  chainObject,
  elementObject,
  type NftObject,
  type SetObject,
  setObject,
  setVersion,
  tableObject,
} from './objects.ts';

/** What a dump is answered with. */
const answers: ReadonlySet<number> = new Set([
  Message.NEWTABLE,
  Message.NEWSET,
  Message.NEWCHAIN,
  Message.NEWRULE,
  Message.NEWSETELEM,
]);
/** struct nfgenmsg stands before the attributes of every message. */
const headerBytes = 4;

/** Those whose elements are read: no samples, which the kernel adds, and no stand-ins. */
const setNames: readonly string[] = [4, 6].flatMap((family) => [
  ...['vip', 'drop', 'allow', 'host', 'icmp', 'egress'].map((name) => `${name}${family}`),
  ...Array.from({ length: family === 4 ? 32 : 128 }, (_, index) => `src${family}_${index + 1}`),
]);

/** The table, its sets, chains and rules, then the elements of every set. */
export function dumpRequests(): DumpRequest[] {
  const table = (writer: Writer): void => writer.attributeText(1, tableName);
  return [
    dump(Message.GETTABLE, () => {}),
    dump(Message.GETSET, table),
    dump(Message.GETCHAIN, table),
    dump(Message.GETRULE, table),
    ...setNames.map((name) =>
      dump(Message.GETSETELEM, (writer) => {
        table(writer);
        writer.attributeText(ElementListAttribute.SET, name);
      }),
    ),
  ];
}

/**
 * What is in the table. A table with other flags or of another layout is returned alone: it is replaced as a
 * whole, so nothing in it counts as being there.
 */
export function decode(replies: readonly Uint8Array[], tableFlags: number): KernelObjects<NftObject> {
  const [tables, sets, chains, rules, ...elements] = replies.map((reply) => [...ours(reply)]);
  const objects: NftObject[] = [];
  for (const { attributes } of tables ?? []) objects.push(readTable(attributes));
  const table = objects[0];
  if (table === undefined || table.id !== tableObject(tableFlags, layout, true).id) {
    return { constants: objects, elements: [], needs: null };
  }
  const found = (sets ?? []).filter(isNamed).map(({ attributes }) => readSet(attributes));
  // The kernel dumps sets in the order in which they were made, which is not always that of ruleset().
  const sizes = found.map((set) => `${set.name} ${set.size}`).sort();
  const byName = new Map(found.map((set) => [set.name, set]));
  objects.push(...found, ...readChains(chains ?? [], rules ?? [], sizes.join(', ')));
  const read = elements.flat().flatMap(({ attributes }) => readElements(attributes, byName));
  const isConstant = (object: NftObject) => object.owner === null;
  return {
    constants: [...objects, ...read.filter(isConstant)],
    elements: read.filter((object) => !isConstant(object)),
    needs: needsOf(byName, rules ?? []),
  };
}

/**
 * The owner of the table in a reply to the first dump: a netlink port id, 0 for none, undefined without a
 * table.
 */
export function tableOwner(reply: Uint8Array): number | undefined {
  for (const { attributes } of ours(reply))
    return u32Be(attributes.get(TableAttribute.OWNER) ?? new Uint8Array(4));
  return undefined;
}

/** Whether a message, an event too, is about our table. */
export function isOurs({ payload }: NetlinkMessage): boolean {
  if (payload[0] !== NFPROTO_INET) return false;
  return textOf(attributesOf(payload, headerBytes).get(1) ?? new Uint8Array()) === tableName;
}

interface Entry {
  readonly type: number;
  readonly attributes: Attributes;
}

/** Attribute 1 is the table's name in every message, but for a table, where it is its own. */
function* ours(reply: Uint8Array): Generator<Entry, void, undefined> {
  for (const message of messagesOf(reply)) {
    if (!answers.has(message.type) || !isOurs(message)) continue;
    yield { type: message.type, attributes: attributesOf(message.payload, headerBytes) };
  }
}

function readTable(attributes: Attributes): NftObject {
  const found = u32Be(attributes.get(TableAttribute.FLAGS) ?? new Uint8Array(4));
  // Where an owner died the kernel has taken its flag away, and left the one that kept the table.
  const flags = (found & NFT_TABLE_F_PERSIST) === 0 ? found : found | NFT_TABLE_F_OWNER;
  const comment = textOf((attributes.get(TableAttribute.USERDATA) ?? new Uint8Array()).subarray(2));
  const number = /^vipward layout (\d+)$/.exec(comment)?.[1];
  const adopted = flags === 0 || attributes.has(TableAttribute.OWNER);
  return tableObject(flags, number === undefined ? -1 : Number(number), adopted);
}

/** A set without a name lives and dies with the rule it stands in, so it is not for us to delete. */
function isNamed({ attributes }: Entry): boolean {
  const flags = u32Be(attributes.get(SetAttribute.FLAGS) ?? new Uint8Array(4));
  return (flags & NFT_SET_ANONYMOUS) === 0;
}

function readSet(attributes: Attributes): SetObject {
  const number = (type: number): number => u32Be(attributes.get(type) ?? new Uint8Array(4));
  const description = attributesOf(attributes.get(SetAttribute.DESC) ?? new Uint8Array());
  return setObject({
    name: textOf(attributes.get(SetAttribute.NAME) ?? new Uint8Array()),
    keyType: number(SetAttribute.KEY_TYPE),
    keyLengthBytes: number(SetAttribute.KEY_LEN),
    size: u32Be(description.get(DescAttribute.SIZE) ?? new Uint8Array(4)),
    counter: attributes.has(SetAttribute.EXPR),
    timeoutMs: u64Be(attributes.get(SetAttribute.TIMEOUT) ?? new Uint8Array(8)),
  });
}

function readChains(chains: readonly Entry[], rules: readonly Entry[], sizes: string): ChainObject[] {
  const byChain = new Map<string, Uint8Array[]>();
  for (const { attributes } of rules) {
    const chain = textOf(attributes.get(RuleAttribute.CHAIN) ?? new Uint8Array());
    const list = byChain.get(chain) ?? [];
    list.push(attributes.get(RuleAttribute.EXPRESSIONS) ?? new Uint8Array());
    byChain.set(chain, list);
  }
  return chains.map(({ attributes }) => {
    const name = textOf(attributes.get(ChainAttribute.NAME) ?? new Uint8Array());
    const hook = attributesOf(attributes.get(ChainAttribute.HOOK) ?? new Uint8Array());
    const number = hook.get(HookAttribute.HOOKNUM);
    const priority = hook.get(HookAttribute.PRIORITY);
    // A base chain whose policy is not ours has no place that we know, so that it is replaced.
    const accepts = u32Be(attributes.get(ChainAttribute.POLICY) ?? new Uint8Array(4)) === NF_ACCEPT;
    const place =
      accepts && number && priority ? { number: u32Be(number), priority: u32Be(priority) | 0 } : null;
    return chainObject(name, place, byChain.get(name) ?? [], sizes);
  });
}

/** The VIP is the first field of every key but an ICMP type's. */
function readElements(attributes: Attributes, sets: ReadonlyMap<string, SetObject>): NftObject[] {
  const name = textOf(attributes.get(ElementListAttribute.SET) ?? new Uint8Array());
  const set = sets.get(name);
  if (set === undefined) return [];
  const handle = { name, version: setVersion(name, set.size) };
  const ownerBytes = set.keyLengthBytes === 1 ? 0 : addressLength(name);
  const elements: NftObject[] = [];
  for (const [, item] of attributeList(attributes.get(ElementListAttribute.ELEMENTS) ?? new Uint8Array())) {
    const key = attributesOf(attributesOf(item).get(ElementAttribute.KEY) ?? new Uint8Array()).get(
      DATA_VALUE,
    );
    if (key === undefined) continue;
    const owner = ownerBytes === 0 ? null : formatAddress(key.subarray(0, ownerBytes));
    elements.push(elementObject(handle, key.slice(), owner));
  }
  return elements;
}

/** Reads off the table what it was made for; the inverse of ruleset(). */
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
  for (const [, item] of attributeList(rule.get(RuleAttribute.EXPRESSIONS) ?? new Uint8Array())) {
    if (textOf(attributesOf(item).get(EXPR_NAME) ?? new Uint8Array()) === 'ct') return true;
  }
  return false;
}

function dump(type: number, body: (writer: Writer) => void): DumpRequest {
  const writer = new Writer(64);
  const place = writer.beginMessage(type, NLM_F_REQUEST | NLM_F_DUMP, 1);
  nfgenmsg(writer, NFPROTO_INET);
  body(writer);
  writer.endMessage(place);
  return { door: 'nfnetlink', bytes: writer.bytes.slice() };
}
