// The constant part of the table: its sets, and the dozen rules that look packets up in them
// (docs/ruleset.md).

import { maskBytes } from '../../state/address.ts';
import type { Needs } from '../../state/desired-state.ts';
import { answerRules, outputRules, sentRules, translatedRules } from './answers.ts';
import {
  EGRESS_PRIORITY,
  INPUT_PRIORITY,
  layout,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NFT_GOTO,
  OUTPUT_PRIORITY,
  PayloadBase,
  PREROUTING_PRIORITY,
} from './constants.ts';
import { Rule } from './expressions.ts';
import { address, type FamilyShape, families, ruleOf } from './families.ts';
import { forgedRule, reflectedRule } from './forged.ts';
import { fromHere, toElsewhere } from './local.ts';
import {
  chainObject,
  elementObject,
  type Hook,
  type NftObject,
  type SetObject,
  setHandle,
  setObject,
  tableObject,
} from './objects.ts';
import { observeRules } from './observe.ts';
import { setShapes } from './set-shapes.ts';

/** The agent's settings and the kernel's abilities; fixed for the life of a dialect. */
export interface NftOptions {
  /** Flags of the table: owner and persist if the kernel supports both, else 0. */
  readonly tableFlags: number;
  /** The kernel knows NFT_SET_EXPR. Without it (5.10) only the attribute declares the counter of a set. */
  readonly setExpressionFlag: boolean;
  /** The kernel can test whether a source is an address of this node. */
  readonly localAddresses: boolean;
  /** Count accepted packets per port. */
  readonly counters: boolean;
  /** Accept echo requests to a VIP. */
  readonly echo: boolean;
  /** Count the packets that would be dropped, and drop none. */
  readonly observe: boolean;
}

/** Every constant object that these needs require, sets before the chains that use them. */
export function ruleset(needs: Needs, options: NftOptions): NftObject[] {
  const sets = setShapes(needs, options).map(setObject);
  const chain = (name: string, hook: Hook | null, rules: readonly Rule[]): NftObject =>
    chainObject(
      name,
      hook,
      rules.map((rule) => rule.bytes),
      sets,
    );
  const objects: NftObject[] = [tableObject(options.tableFlags, layout, true), ...sets];
  for (const shape of families) {
    objects.push(...icmpElements(shape, sets, options));
    if (options.observe) objects.push(chain(`observe${shape.family}`, null, observeRules(shape)));
    objects.push(chain(`guard${shape.family}`, null, guardRules(shape, needs, options)));
    objects.push(chain(`input${shape.family}`, null, inputRules(shape, needs, options)));
    if (needs.egress) {
      objects.push(chain(`egress${shape.family}`, null, egressRules(shape, needs, options)));
      objects.push(chain(`sent${shape.family}`, null, sentRules(shape)));
    }
  }
  objects.push(
    chain('input', { number: NF_INET_LOCAL_IN, priority: INPUT_PRIORITY }, entryRules('vip', 'input')),
  );
  if (needs.egress) {
    const hook = { number: NF_INET_PRE_ROUTING, priority: EGRESS_PRIORITY };
    objects.push(chain('egress', hook, entryRules('egress', 'egress')));
    const output = { number: NF_INET_LOCAL_OUT, priority: OUTPUT_PRIORITY };
    objects.push(chain('sent', output, outputRules()));
  }
  if (options.localAddresses && (needs.forward || needs.egress)) {
    const hook = { number: NF_INET_PRE_ROUTING, priority: EGRESS_PRIORITY };
    // With observe the chain stays, without rules that drop: a change of the filter is then one transaction.
    const rules = options.observe ? [] : families.map(forgedRule);
    objects.push(chain('forged', hook, [byLoopback().verdict(NF_ACCEPT), ...rules]));
  }
  const hook = { number: NF_INET_PRE_ROUTING, priority: PREROUTING_PRIORITY };
  objects.push(chain('prerouting', hook, entryRules('vip', 'guard')));
  return objects;
}

/** Sends a packet to an address of the set to the chain of its family. */
function entryRules(set: string, chain: string): Rule[] {
  return families.map((shape) =>
    address(shape, `${set}${shape.family}`).verdict(NFT_GOTO, `${chain}${shape.family}`),
  );
}

/** What the node sends to itself. What an ipvlan (l3) of a pod sends comes in by lo too, from elsewhere. */
function toItselfRule({ localAddresses }: NftOptions): Rule {
  return (localAddresses ? fromHere(byLoopback()) : byLoopback()).verdict(NF_ACCEPT);
}

function byLoopback(): Rule {
  return new Rule().metaIif(0).compareEqual(0, Uint8Array.of(1, 0, 0, 0));
}

function guardRules(shape: FamilyShape, needs: Needs, options: NftOptions): Rule[] {
  // A VIP with egress is filtered once, at -190, so that its counters count once.
  const egress = needs.egress ? [address(shape, `egress${shape.family}`).verdict(NF_ACCEPT)] : [];
  const isTracked = needs.forward || needs.egress;
  const forged = isTracked || options.observe || !options.localAddresses ? [] : [reflectedRule(shape)];
  return [
    toItselfRule(options),
    ...forged,
    ...egress,
    ...portRules(shape, needs),
    icmpRule(shape),
    ...dropRules(shape, options),
  ];
}

/**
 * Filters packets that still have a VIP as their destination after every DNAT. It accepts the ports that the
 * node itself serves, and packets that other NAT rules brought here, since a VIP may be the address that a
 * REDIRECT takes. If no rule uses conntrack to recognise NAT, only declared ports are dropped. With `observe`
 * on, prerouting has already counted the packets that it would drop.
 */
function inputRules(shape: FamilyShape, needs: Needs, options: NftOptions): Rule[] {
  const { family } = shape;
  const fragments = family === 6 ? [laterFragment(shape)] : [];
  const host = portKey(shape).lookup(`host${family}`, 0).verdict(NF_ACCEPT);
  const tracked = needs.forward || needs.egress;
  const nat = tracked
    ? [new Rule().ctDnat().verdict(NF_ACCEPT), ...translatedRules(shape, needs.egress)]
    : [];
  const answers = needs.egress ? answerRules(shape) : [];
  const declared = passes(shape, needs).map((rule) =>
    options.observe ? rule.verdict(NFT_GOTO, `observe${family}`) : counted(shape, rule).verdict(NF_DROP),
  );
  const drops = tracked && !options.observe ? dropRules(shape, options) : declared;
  return [toItselfRule(options), ...fragments, host, icmpRule(shape), ...nat, ...answers, ...drops];
}

/**
 * Filters VIPs with egress here and not at -310: only after conntrack can an answer be told from a probe. One
 * that NAT has yet to translate back passes: its port is not the VIP's own, and `input` judges what is. So
 * does one that goes on to the VIP of another node, which judges it: only that node knows what it has sent.
 */
function egressRules(shape: FamilyShape, needs: Needs, options: NftOptions): Rule[] {
  const translated = new Rule().ctReply().ctStatusSnat().verdict(NF_ACCEPT);
  return [
    toItselfRule(options),
    translated,
    ...answerRules(shape),
    ...(options.localAddresses ? [toElsewhere(new Rule().ctReply()).verdict(NF_ACCEPT)] : []),
    ...portRules(shape, needs),
    icmpRule(shape),
    ...dropRules(shape, options),
  ];
}

function portRules(shape: FamilyShape, needs: Needs): Rule[] {
  return [laterFragment(shape), ...passes(shape, needs).map((rule) => rule.verdict(NF_ACCEPT))];
}

/**
 * The matches for a declared port, without a verdict: open to all, then one rule per source prefix length.
 */
function passes(shape: FamilyShape, needs: Needs): Rule[] {
  const { family, addressBytes } = shape;
  const lengths = family === 4 ? needs.sourceLengths4 : needs.sourceLengths6;
  const sourceIndex = addressBytes / 4 + 2;
  return [
    portKey(shape).lookup(`allow${family}`, 0),
    ...lengths.map((length) => {
      const mask = maskBytes(new Uint8Array(addressBytes).fill(0xff), length);
      const key = portKey(shape).payload(
        PayloadBase.NETWORK_HEADER,
        shape.sourceOffset,
        addressBytes,
        sourceIndex,
      );
      const masked = length === addressBytes * 8 ? key : key.mask(sourceIndex, mask);
      return masked.lookup(`src${family}_${length}`, 0);
    }),
  ];
}

/**
 * Accepts a fragment behind the first: it carries no ports, and is useless if the first fragment is dropped.
 * The rule comes before all port rules, since kernels before 5.17 read the fragment's data as ports.
 */
function laterFragment(shape: FamilyShape): Rule {
  const rule = ruleOf(shape);
  if (shape.family === 4)
    rule.payload(PayloadBase.NETWORK_HEADER, 6, 2, 0).mask(0, Uint8Array.of(0x1f, 0xff));
  else rule.extensionHeader(44, 2, 2, 0).mask(0, Uint8Array.of(0xff, 0xf8));
  return rule.compareNotEqual(0, Uint8Array.of(0, 0)).verdict(NF_ACCEPT);
}

function icmpRule(shape: FamilyShape): Rule {
  return ruleOf(shape)
    .metaL4proto(0)
    .compareEqual(0, Uint8Array.of(shape.icmpProtocol))
    .payload(PayloadBase.TRANSPORT_HEADER, 0, 1, 0)
    .lookup(`icmp${shape.family}`, 0)
    .verdict(NF_ACCEPT);
}

function icmpElements(shape: FamilyShape, sets: readonly SetObject[], options: NftOptions): NftObject[] {
  const set = sets.find(({ name }) => name === `icmp${shape.family}`);
  if (set === undefined) return [];
  const types = options.echo ? [...shape.errorTypes, shape.echoRequest] : shape.errorTypes;
  return types.map((type) => elementObject(setHandle(set), String.fromCharCode(type), null));
}

/**
 * The first rule drops and counts by VIP. The second matches only if the sets `vip` and `drop` differ, and
 * then drops as well.
 */
function dropRules(shape: FamilyShape, options: NftOptions): Rule[] {
  if (options.observe) return [new Rule().verdict(NFT_GOTO, `observe${shape.family}`)];
  return [counted(shape, ruleOf(shape)).verdict(NF_DROP), new Rule().verdict(NF_DROP)];
}

function counted({ family, destinationOffset, addressBytes }: FamilyShape, rule: Rule): Rule {
  return rule
    .payload(PayloadBase.NETWORK_HEADER, destinationOffset, addressBytes, 0)
    .lookup(`drop${family}`, 0);
}

/** daddr . l4proto . th dport in adjacent registers. */
function portKey(shape: FamilyShape): Rule {
  const words = shape.addressBytes / 4;
  return ruleOf(shape)
    .payload(PayloadBase.NETWORK_HEADER, shape.destinationOffset, shape.addressBytes, 0)
    .metaL4proto(words)
    .payload(PayloadBase.TRANSPORT_HEADER, 2, 2, words + 1);
}
