// One dump message -> a table, a set, or a chain with its rules. Anonymous sets and chains live and die with
// their rule, and are not objects.

import { type Attributes, attributesOf, textOf, u32Be, u64Be } from '../../netlink/reader.ts';
import {
  ChainAttribute,
  DescAttribute,
  HookAttribute,
  NF_ACCEPT,
  NFT_CHAIN_BINDING,
  NFT_SET_ANONYMOUS,
  NFT_SET_EXPR,
  NFT_TABLE_F_DORMANT,
  NFT_TABLE_F_OWNER,
  NFT_TABLE_F_PERSIST,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from './constants.ts';
import {
  type ChainObject,
  chainObject,
  type NftObject,
  type SetObject,
  setFlags,
  setObject,
  tableObject,
} from './objects.ts';

/** One message of a dump. */
export interface Entry {
  readonly type: number;
  readonly attributes: Attributes;
}

export function readTable(attributes: Attributes): NftObject {
  const found = u32Be(attributes.get(TableAttribute.FLAGS) ?? new Uint8Array(4));
  // When a table's owner dies, the kernel clears NFT_TABLE_F_OWNER and leaves NFT_TABLE_F_PERSIST.
  const flags = (found & NFT_TABLE_F_PERSIST) === 0 ? found : found | NFT_TABLE_F_OWNER;
  const comment = textOf((attributes.get(TableAttribute.USERDATA) ?? new Uint8Array()).subarray(2));
  const number = /^vipward layout (\d+)$/.exec(comment)?.[1];
  const adopted = flags === 0 || attributes.has(TableAttribute.OWNER);
  // A dormant table filters nothing, even if it is ours.
  const judges = number !== undefined && (found & NFT_TABLE_F_DORMANT) === 0;
  return tableObject(flags, judges ? Number(number) : -1, adopted);
}

export function readSets(sets: readonly Entry[]): SetObject[] {
  return sets.flatMap(({ attributes }) => {
    const flags = u32Be(attributes.get(SetAttribute.FLAGS) ?? new Uint8Array(4));
    if ((flags & NFT_SET_ANONYMOUS) !== 0) return [];
    const set = readSet(attributes);
    // With other flags an element means more than its key (a range), or expires by itself.
    return (flags & ~NFT_SET_EXPR) === setFlags(set) ? [set] : [setObject({ ...set, size: 0 })];
  });
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

export function readChains(
  chains: readonly Entry[],
  rules: readonly Entry[],
  sets: readonly SetObject[],
): ChainObject[] {
  const byChain = new Map<string, Uint8Array[]>();
  for (const { attributes } of rules) {
    const chain = textOf(attributes.get(RuleAttribute.CHAIN) ?? new Uint8Array());
    const list = byChain.get(chain) ?? [];
    list.push(attributes.get(RuleAttribute.EXPRESSIONS) ?? new Uint8Array());
    byChain.set(chain, list);
  }
  return chains.flatMap(({ attributes }) => {
    const flags = u32Be(attributes.get(ChainAttribute.FLAGS) ?? new Uint8Array(4));
    if ((flags & NFT_CHAIN_BINDING) !== 0) return [];
    const name = textOf(attributes.get(ChainAttribute.NAME) ?? new Uint8Array());
    const hook = attributesOf(attributes.get(ChainAttribute.HOOK) ?? new Uint8Array());
    const number = hook.get(HookAttribute.HOOKNUM);
    const priority = hook.get(HookAttribute.PRIORITY);
    // A base chain with another policy or type is not of our make; it gets no known hook and is replaced.
    const accepts = u32Be(attributes.get(ChainAttribute.POLICY) ?? new Uint8Array(4)) === NF_ACCEPT;
    const filters = textOf(attributes.get(ChainAttribute.TYPE) ?? new Uint8Array()) === 'filter';
    const isOurs = accepts && filters;
    const place =
      isOurs && number && priority ? { number: u32Be(number), priority: u32Be(priority) | 0 } : null;
    return chainObject(name, place, byChain.get(name) ?? [], sets);
  });
}
