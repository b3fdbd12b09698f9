// The constant part: the sets, and the rules of each table that look packets up in them (docs/ruleset.md).

import type { Needs } from '../../state/desired-state.ts';
import { answerRules, sentChain, sentShape, toElsewhere, translated, translatedRules } from './answers.ts';
import {
  type ChainName,
  chainNames,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  type SetKind,
  setName,
  Verdict,
} from './constants.ts';
import { type FamilyShape, families } from './families.ts';
import { forgedRule, reflectedRule } from './forged.ts';
import {
  type Chain,
  type SetShape,
  setObject,
  type TableShape,
  tableObject,
  type XtObject,
} from './objects.ts';
import { declaredAtInput, observedAtInput, sampleRules, sampleShapes } from './observe.ts';
import { Rule, type RuleSpec } from './rule.ts';

/** The tables that our rules go into, out of those that this kernel has. */
export interface Places {
  /** raw is before conntrack; mangle is after it, and still before every DNAT. */
  readonly guard: 'raw' | 'mangle';
  readonly input: 'mangle' | 'filter';
  /** After conntrack and before DNAT. Null: this kernel cannot tell answers of egress from probes. */
  readonly egress: 'mangle' | null;
}

/** The agent's settings and the kernel's abilities; fixed for the life of a dialect. */
export interface XtOptions {
  readonly places: Places;
  /** The kernel has the match `frag`, by which our rules accept later fragments of IPv6. */
  readonly fragments: boolean;
  /** The kernel has the match `addrtype`, which tests whether an address belongs to this node. */
  readonly localAddresses: boolean;
  /** Count accepted packets per port. */
  readonly counters: boolean;
  /** Accept echo requests to a VIP. */
  readonly echo: boolean;
  /** Count the packets that would be dropped, and drop none. */
  readonly observe: boolean;
}

/** Every constant object that these needs require. */
export function ruleset(needs: Needs, options: XtOptions): XtObject[] {
  return [
    ...setShapes(needs, options).map(setObject),
    ...tableShapes(needs, options).map((shape) => tableObject(shape)),
  ];
}

export function setShapes(needs: Needs, options: Pick<XtOptions, 'counters' | 'observe'>): SetShape[] {
  const { capacities } = needs;
  return families.flatMap(({ family }) => {
    const of4 = family === 4;
    const vips = of4 ? capacities.vips4 : capacities.vips6;
    const ports = of4 ? capacities.ports4 : capacities.ports6;
    const sources = of4 ? capacities.sources4 : capacities.sources6;
    const shape = (kind: SetKind, type: SetShape['type'], size: number, counters = false): SetShape => {
      return { name: setName(kind, family), family, type, size, counters, timeoutSeconds: 0 };
    };
    return [
      shape('allow', 'hash:ip,port', ports, options.counters),
      shape('src', 'hash:ip,port,net', sources, options.counters),
      shape('host', 'hash:ip,port', ports),
      ...(needs.egress ? [shape('egress', 'hash:ip', vips), sentShape(family)] : []),
      shape('drop', 'hash:ip', vips, true),
      shape('vip', 'hash:ip', vips),
      ...(options.observe ? sampleShapes(family) : []),
    ];
  });
}

/**
 * The content of each table. Tables without content are included, so that old rules are removed from them.
 */
function tableShapes(needs: Needs, options: XtOptions): TableShape[] {
  return families.flatMap((shape) => {
    const parts = new Map<string, { jumps: Map<number, RuleSpec[]>; chains: Chain[] }>();
    const put = (table: string, hook: number, chains: readonly Chain[]): void => {
      const part = parts.get(table) ?? { jumps: new Map<number, RuleSpec[]>(), chains: [] as Chain[] };
      const [entry] = chains;
      if (entry === undefined) return;
      const jump = new Rule(shape).comment(purposes[entry.name] ?? 'vipward').jump(entry.name);
      part.jumps.set(hook, [...(part.jumps.get(hook) ?? []), jump]);
      part.chains.push(...chains);
      parts.set(table, part);
    };
    const { guard, input, egress } = options.places;
    if (needs.egress && egress !== null) put(egress, NF_INET_PRE_ROUTING, egressChains(shape, options));
    const asksSource = options.localAddresses && !options.observe && (needs.forward || needs.egress);
    if (asksSource && egress !== null) put(egress, NF_INET_PRE_ROUTING, [forgedChain(shape)]);
    put(guard, NF_INET_PRE_ROUTING, guardChains(shape, needs, options));
    put(input, NF_INET_LOCAL_IN, inputChains(shape, needs, options));
    if (needs.egress && egress !== null) put(egress, NF_INET_LOCAL_OUT, [sentChain(shape)]);
    return [...parts].map(([table, { jumps, chains }]) => ({ family: shape.family, table, jumps, chains }));
  });
}

const purposes: Readonly<Record<string, string>> = {
  [chainNames.forged]: 'vipward: nobody else sends as a VIP',
  [chainNames.guard]: 'vipward: only declared ports of a VIP',
  [chainNames.egress]: 'vipward: VIPs that open connections',
  [chainNames.input]: 'vipward: what no DNAT took further',
  [chainNames.sent]: 'vipward: what may be answered',
};

function guardChains(shape: FamilyShape, needs: Needs, options: XtOptions): Chain[] {
  // A VIP with egress is filtered once, after conntrack, so that its counters count once.
  const judged = needs.egress && options.places.egress !== null;
  const egress = judged ? [addressed(shape, 'egress').comment('vipward: judged behind conntrack')] : [];
  const isTracked = (needs.forward || needs.egress) && options.places.egress !== null;
  const forged = isTracked || options.observe || !options.localAddresses ? [] : [reflectedRule(shape)];
  return chainsOf(shape, options, {
    names: [chainNames.guard, chainNames.guardPorts],
    gate: [...gate(shape, 'vip', options), ...forged, ...egress.map(returns)],
    rules: [...portRules(shape), ...icmpRules(shape, options), ...dropRules(shape, options)],
  });
}

function forgedChain(shape: FamilyShape): Chain {
  return { name: chainNames.forged, rules: [toItself(new Rule(shape).loopback()), forgedRule(shape)] };
}

/** Filters VIPs with egress here: only after conntrack can an answer be told from a probe. */
function egressChains(shape: FamilyShape, options: XtOptions): Chain[] {
  const elsewhere = options.localAddresses ? [toElsewhere(shape)] : [];
  return chainsOf(shape, options, {
    names: [chainNames.egress, chainNames.egressPorts],
    gate: [
      ...gate(shape, 'egress', options),
      translated(new Rule(shape)),
      ...answerRules(shape),
      ...elsewhere,
    ],
    rules: [...portRules(shape), ...icmpRules(shape, options), ...dropRules(shape, options)],
  });
}

/**
 * Filters packets that still have a VIP as their destination after every DNAT. It accepts the ports that the
 * node itself serves, and packets that other NAT rules brought here, since a VIP may be the address that a
 * REDIRECT takes. If no rule uses conntrack to recognise NAT, only declared ports are dropped.
 */
function inputChains(shape: FamilyShape, needs: Needs, options: XtOptions): Chain[] {
  const host = returns(ported(shape, 'host').comment('vipward: the node answers'));
  const dnat = new Rule(shape).dnat().comment('vipward: brought here by NAT');
  const egress = needs.egress && options.places.egress !== null;
  const tracked = needs.forward || needs.egress;
  const drops = tracked ? dropRules(shape, options) : declaredAtInput(shape);
  return chainsOf(shape, options, {
    names: [chainNames.input, chainNames.inputPorts],
    gate: gate(shape, 'vip', options),
    rules: [
      host,
      ...icmpRules(shape, options),
      ...(tracked ? [returns(dnat), ...translatedRules(shape, egress)] : []),
      ...(egress ? answerRules(shape) : []),
      ...(options.observe ? observedAtInput(shape) : drops),
    ],
  });
}

interface Judgement {
  readonly names: readonly [entry: ChainName, ports: ChainName];
  readonly gate: readonly RuleSpec[];
  readonly rules: readonly RuleSpec[];
}

/**
 * Accepts fragments behind the first before all port rules: they carry no ports, and are useless if the first
 * is dropped. IPv6 cannot match "not the first", so first fragments are sent on to the port chain.
 */
function chainsOf(shape: FamilyShape, options: XtOptions, { names, gate: first, rules }: Judgement): Chain[] {
  const [name, ports] = names;
  if (shape.family === 4) {
    const later = returns(new Rule(shape).laterFragment().comment('vipward: a later fragment'));
    return [{ name, rules: [...first, later, ...rules] }];
  }
  if (!options.fragments) return [{ name, rules: [...first, ...rules] }];
  const fragments = [
    new Rule(shape).fragment(true).comment('vipward: a first fragment').goto(ports),
    returns(new Rule(shape).fragment(false).comment('vipward: a later fragment')),
    new Rule(shape).comment('vipward: no fragment').goto(ports),
  ];
  return [
    { name, rules: [...first, ...fragments] },
    { name: ports, rules },
  ];
}

/** Returns for packets to no address of the set, and for the node's own: a pod's ipvlan comes by lo too. */
function gate(shape: FamilyShape, kind: SetKind, { localAddresses }: XtOptions): RuleSpec[] {
  const stranger = new Rule(shape).set(setName(kind, shape.family), ['dst'], { not: true });
  const byLoopback = new Rule(shape).loopback();
  return [
    returns(stranger.comment('vipward: to no VIP')),
    toItself(localAddresses ? byLoopback.sourceIsLocal() : byLoopback),
  ];
}

function toItself(rule: Rule): RuleSpec {
  return returns(rule.comment('vipward: the node to itself'));
}

function portRules(shape: FamilyShape): RuleSpec[] {
  const ranged = new Rule(shape).set(setName('src', shape.family), ['dst', 'dst', 'src']);
  return [
    returns(ported(shape, 'allow').comment('vipward: a declared port')),
    returns(ranged.comment('vipward: a declared port, for this source')),
  ];
}

function icmpRules(shape: FamilyShape, { echo }: XtOptions): RuleSpec[] {
  const types = echo ? [...shape.errorTypes, shape.echoRequest] : shape.errorTypes;
  return types.map((type) => returns(new Rule(shape).icmp(type).comment('vipward: ICMP of a VIP')));
}

/** The first rule drops and counts by VIP. The second matches only if the sets differ, and drops too. */
function dropRules(shape: FamilyShape, { observe }: XtOptions): RuleSpec[] {
  const verdict = observe ? Verdict.RETURN : Verdict.DROP;
  const words = observe ? 'would be dropped' : 'dropped';
  return [
    ...(observe ? sampleRules(shape, () => new Rule(shape)) : []),
    addressed(shape, 'drop').comment(`vipward: ${words}, counted by VIP`).verdict(verdict),
    new Rule(shape).comment(`vipward: ${words}`).verdict(verdict),
  ];
}

function addressed(shape: FamilyShape, kind: SetKind): Rule {
  return new Rule(shape).set(setName(kind, shape.family), ['dst']);
}

function ported(shape: FamilyShape, kind: SetKind): Rule {
  return new Rule(shape).set(setName(kind, shape.family), ['dst', 'dst']);
}

function returns(rule: Rule): RuleSpec {
  return rule.verdict(Verdict.RETURN);
}
