// One dump message -> a table, a set, or a chain with its rules. Anonymous sets and chains live and die with
// their rule, and are not objects.

import { type Attributes, textOf, u32Be, u64Be } from '../../netlink/reader.ts';
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
  const found = u32Be(attributes.bytes(TableAttribute.FLAGS));
  // When a table's owner dies, the kernel clears NFT_TABLE_F_OWNER and leaves NFT_TABLE_F_PERSIST.
  const flags = (found & NFT_TABLE_F_PERSIST) === 0 ? found : found | NFT_TABLE_F_OWNER;
  const comment = textOf(attributes.bytes(TableAttribute.USERDATA).subarray(2));
  const number = /^vipward layout (\d+)$/.exec(comment)?.[1];
  const adopted = flags === 0 || attributes.has(TableAttribute.OWNER);
  // A dormant table filters nothing, even if it is ours.
  const judges = number !== undefined && (found & NFT_TABLE_F_DORMANT) === 0;
  return tableObject(flags, judges ? Number(number) : -1, adopted);
}

export function readSets(sets: readonly Entry[]): SetObject[] {
  return sets.flatMap(({ attributes }) => {
    const flags = u32Be(attributes.bytes(SetAttribute.FLAGS));
    if ((flags & NFT_SET_ANONYMOUS) !== 0) return [];
    const set = readSet(attributes);
    // With other flags an element means more than its key (a range), or expires by itself.
    return (flags & ~NFT_SET_EXPR) === setFlags(set) ? [set] : [setObject({ ...set, size: 0 })];
  });
}

function readSet(attributes: Attributes): SetObject {
  const number = (type: number): number => u32Be(attributes.bytes(type));
  const description = attributes.nest(SetAttribute.DESC);
  return setObject({
    name: attributes.text(SetAttribute.NAME),
    keyType: number(SetAttribute.KEY_TYPE),
    keyLengthBytes: number(SetAttribute.KEY_LEN),
    size: u32Be(description.bytes(DescAttribute.SIZE)),
    counter: attributes.has(SetAttribute.EXPR),
    timeoutMs: u64Be(attributes.bytes(SetAttribute.TIMEOUT)),
  });
}

export function readChains(
  chains: readonly Entry[],
  rules: readonly Entry[],
  sets: readonly SetObject[],
): ChainObject[] {
  const byChain = new Map<string, Uint8Array[]>();
  for (const { attributes } of rules) {
    const chain = attributes.text(RuleAttribute.CHAIN);
    const list = byChain.get(chain) ?? [];
    list.push(attributes.bytes(RuleAttribute.EXPRESSIONS));
    byChain.set(chain, list);
  }
  return chains.flatMap(({ attributes }) => {
    const flags = u32Be(attributes.bytes(ChainAttribute.FLAGS));
    if ((flags & NFT_CHAIN_BINDING) !== 0) return [];
    const name = attributes.text(ChainAttribute.NAME);
    const hook = attributes.nest(ChainAttribute.HOOK);
    const number = hook.get(HookAttribute.HOOKNUM);
    const priority = hook.get(HookAttribute.PRIORITY);
    // A base chain with another policy or type is not of our make; it gets no known hook and is replaced.
    const accepts = u32Be(attributes.bytes(ChainAttribute.POLICY)) === NF_ACCEPT;
    const filters = attributes.text(ChainAttribute.TYPE) === 'filter';
    const isOurs = accepts && filters;
    const place =
      isOurs && number && priority ? { number: u32Be(number), priority: u32Be(priority) | 0 } : null;
    return chainObject(name, place, byChain.get(name) ?? [], sets);
  });
}
