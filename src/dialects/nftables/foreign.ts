// Foreign base chains and their number of rules: they can drop packets that we accept, and they set how long
// foreign commits take.

import { type Attributes, attributesOf, messagesOf, u32Be } from '../../netlink/reader.ts';
import { ChainAttribute, HookAttribute, Message, tableName } from './constants.ts';

export interface ForeignChain {
  /** The family as nft names it; `ip` or `ip6` for an xtables table too. */
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

const familyNames: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};
/** The hooks that a packet to a VIP passes, by number; arp and netdev have other numbers. */
const hookNames: readonly string[] = ['prerouting', 'input', 'forward', '', '', 'ingress'];
const otherHookNames: Readonly<Record<string, readonly string[]>> = { arp: ['input'], netdev: ['ingress'] };

/**
 * From the reply to chainDump(): the foreign base chains of type filter at ingress, prerouting, input and
 * forward that have a rule or the policy drop. `rules` is the sum of NFTA_CHAIN_USE over all foreign chains.
 */
export function readForeign(reply: Uint8Array): { chains: ForeignChain[]; rules: number } {
  const chains: ForeignChain[] = [];
  let rules = 0;
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWCHAIN) continue;
    const attributes = attributesOf(payload, 4);
    if (attributes.text(ChainAttribute.TABLE) === tableName) continue;
    const use = u32Be(attributes.bytes(ChainAttribute.USE));
    rules += use;
    const chain = baseChain(familyName(payload), attributes);
    if (chain !== undefined && (use > 0 || chain.policy === 'drop')) chains.push(chain);
  }
  return { chains, rules };
}

/** The family of an nf_tables message, as nft names it. */
export function familyName(payload: Uint8Array): string {
  return familyNames[payload[0] ?? 0] ?? String(payload[0]);
}

function baseChain(family: string, attributes: Attributes): ForeignChain | undefined {
  if (attributes.text(ChainAttribute.TYPE) !== 'filter') return undefined;
  const hook = attributes.nest(ChainAttribute.HOOK);
  const number = u32Be(hook.get(HookAttribute.HOOKNUM) ?? Uint8Array.of(0, 0, 0, 9));
  const hookName = (otherHookNames[family] ?? hookNames)[number] ?? '';
  if (hookName === '') return undefined;
  const drops = u32Be(attributes.get(ChainAttribute.POLICY) ?? Uint8Array.of(0, 0, 0, 1)) === 0;
  return {
    family,
    table: attributes.text(ChainAttribute.TABLE),
    chain: attributes.text(ChainAttribute.NAME),
    hook: hookName,
    priority: u32Be(hook.bytes(HookAttribute.PRIORITY)) | 0,
    policy: drops ? 'drop' : 'accept',
  };
}
