// Reads foreign rules for one question: which foreign base chains can drop a packet that our rules accept.

import {
  type Attributes,
  attributeList,
  attributesOf,
  messagesOf,
  u16,
  u32,
  u32Be,
} from '../../netlink/reader.ts';
import {
  DATA_VALUE,
  DATA_VERDICT,
  EXPR_DATA,
  EXPR_NAME,
  Message,
  NF_DROP,
  NFT_GOTO,
  NFT_JUMP,
  RuleAttribute,
  tableName,
} from './constants.ts';
import { type ForeignChain, familyName, readForeign } from './foreign.ts';

/** A base chain that can drop, and the number of dropping rules in it and in the chains it jumps to. */
export interface DroppingChain extends ForeignChain {
  readonly drops: number;
}

interface RuleFacts {
  drops: number;
  readonly jumps: Set<string>;
}

/**
 * From the replies to chainDump() and ruleDump(): the chains that drop by policy or by a rule, and the number
 * of foreign rules. A dropping rule counts whatever it matches, unless it matches only the conntrack state
 * invalid. Jumps through a verdict map are not followed.
 */
export function readDropping(
  chains: Uint8Array,
  rules: Uint8Array,
): { chains: DroppingChain[]; rules: number } {
  const byChain = new Map<string, RuleFacts>();
  let count = 0;
  for (const { type, payload } of messagesOf(rules)) {
    if (type !== Message.NEWRULE) continue;
    const attributes = attributesOf(payload, 4);
    const table = attributes.text(RuleAttribute.TABLE);
    if (table === tableName) continue;
    count++;
    const place = `${familyName(payload)} ${table}`;
    const key = `${place} ${attributes.text(RuleAttribute.CHAIN)}`;
    const facts = byChain.get(key) ?? { drops: 0, jumps: new Set() };
    byChain.set(key, facts);
    const { drops, jump } = readRule(attributes.bytes(RuleAttribute.EXPRESSIONS));
    if (drops) facts.drops++;
    if (jump !== null) facts.jumps.add(`${place} ${jump}`);
  }
  const dropping = readForeign(chains).chains.map((chain) => {
    return { ...chain, drops: dropsFrom(`${chain.family} ${chain.table} ${chain.chain}`, byChain) };
  });
  return { chains: dropping.filter(({ policy, drops }) => policy === 'drop' || drops > 0), rules: count };
}

function dropsFrom(start: string, byChain: ReadonlyMap<string, RuleFacts>): number {
  const seen = new Set([start]);
  let drops = 0;
  for (const key of seen) {
    const facts = byChain.get(key);
    drops += facts?.drops ?? 0;
    for (const next of facts?.jumps ?? []) seen.add(next);
  }
  return drops;
}

function readRule(expressions: Uint8Array): { drops: boolean; jump: string | null } {
  let drops = false;
  let jump: string | null = null;
  let onlyInvalid = false;
  let states = false;
  for (const [, item] of attributeList(expressions)) {
    const expression = attributesOf(item);
    const data = expression.nest(EXPR_DATA);
    switch (expression.text(EXPR_NAME)) {
      case 'immediate': {
        const verdict = data.nest(2).nest(DATA_VERDICT);
        const code = verdict.get(1);
        if (code === undefined) break;
        if (u32Be(code) === NF_DROP) drops = true;
        const name = verdict.text(2);
        if ((u32Be(code) | 0) === NFT_JUMP || (u32Be(code) | 0) === NFT_GOTO) jump = name;
        break;
      }
      case 'reject':
        drops = true;
        break;
      case 'target':
        if (['DROP', 'REJECT', 'TARPIT'].includes(data.text(1))) drops = true;
        break;
      case 'ct':
        states = u32Be(data.get(2) ?? Uint8Array.of(0, 0, 0, 9)) === 0;
        break;
      case 'bitwise':
        if (states) onlyInvalid = isInvalid(data);
        break;
      case 'match':
        if (isInvalidMatch(data)) onlyInvalid = true;
        break;
    }
  }
  return { drops: drops && !onlyInvalid, jump };
}

/** `ct state` is masked with NF_CT_STATE_INVALID_BIT alone. */
function isInvalid(bitwise: Attributes): boolean {
  const mask = bitwise.nest(4).get(DATA_VALUE);
  return mask !== undefined && u32(mask) === 1;
}

/**
 * struct xt_conntrack_mtinfo2, 3: match flags at 146 (XT_CONNTRACK_STATE: 1), invert at 148, states at 150.
 */
function isInvalidMatch(match: Attributes): boolean {
  const info = match.get(3);
  if (match.text(1) !== 'conntrack' || info === undefined) return false;
  return (u16(info, 146) & 1) === 1 && (u16(info, 148) & 1) === 0 && u16(info, 150) === 1;
}
