// What the second guard takes for an answer. Conntrack alone cannot tell: a packet that passed this node as
// if from a VIP, before the VIP came here, has left an entry that makes an answer of every probe behind it.

import { protocolNumbers } from '../../state/port.ts';
import { chainNames, setName, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import type { Chain, SetShape } from './objects.ts';
import { type Direction, Rule, type RuleSpec } from './rule.ts';

/**
 * The most ports per family that VIPs send from, as many as nine addresses can choose from by default; at any
 * further port they get no answer.
 */
const mostPorts = 262_144;
/** Longer than conntrack by default keeps any entry but those of TCP and SCTP. */
const lifetimeSeconds = 3600;

const { TCP } = protocolNumbers;

/** The set of ports that VIPs have sent from, filled by sentChain(). A protocol without ports has port 0. */
export function sentShape(family: 4 | 6): SetShape {
  const shape = { name: setName('sent', family), family, type: 'hash:ip,port', size: mostPorts } as const;
  return { ...shape, counters: false, timeoutSeconds: lifetimeSeconds };
}

/**
 * At the hook OUTPUT: what the node asks from a VIP with egress may be answered. What it answers itself opens
 * nothing: a port that it serves may be declared for some sources only.
 */
export function sentChain(shape: FamilyShape): Chain {
  const stranger = new Rule(shape).set(setName('egress', shape.family), ['src'], { not: true });
  return {
    name: chainNames.sent,
    rules: [
      new Rule(shape).protocol(TCP).comment('vipward: known by its flags').verdict(Verdict.RETURN),
      stranger.comment('vipward: not from such a VIP').verdict(Verdict.RETURN),
      sends(shape, new Rule(shape).original(), ['src', 'src']),
    ],
  };
}

/**
 * Accepts answers to what the node has sent from a VIP. Of TCP that is all that would not begin a connection.
 * Any other packet may begin one, so it needs a port that the VIP has sent from, and keeps that port open.
 */
export function answerRules(shape: FamilyShape): RuleSpec[] {
  const answer = (rule: Rule): RuleSpec =>
    rule.reply().comment('vipward: an answer to the node itself').verdict(Verdict.RETURN);
  const known = (): Rule => new Rule(shape).set(setName('sent', shape.family), ['dst', 'dst']);
  return [
    answer(new Rule(shape).notSyn()),
    // ipset takes the type of ICMP for its port, and an echo reply has another type than its request.
    answer(new Rule(shape).protocol(shape.icmpProtocol)),
    sends(shape, known().reply(), ['dst', 'dst']),
    answer(known()),
  ];
}

/** An answer to the VIP of another node, which judges it: only that node knows what it has sent. */
export function toElsewhere(shape: FamilyShape): RuleSpec {
  const rule = new Rule(shape).reply().toElsewhere();
  return rule.comment('vipward: an answer to another node').verdict(Verdict.RETURN);
}

/** An answer that NAT translates back. One match cannot ask for both states. */
export function translated(rule: Rule): RuleSpec {
  return rule
    .reply()
    .reply('SNAT')
    .comment('vipward: an answer, brought here by NAT')
    .verdict(Verdict.RETURN);
}

/**
 * Accepts answers that NAT has translated back, so that the port is the VIP's own. NAT proves nothing: it
 * takes any source. TCP and VIPs with egress need as much as answerRules() asks; of other VIPs no ports are
 * noted.
 */
export function translatedRules(shape: FamilyShape, egress: boolean): RuleSpec[] {
  const other = new Rule(shape).protocol(TCP, { not: true });
  if (egress) other.set(setName('egress', shape.family), ['dst'], { not: true });
  return [translated(other), ...(egress ? [] : [translated(new Rule(shape).notSyn())])];
}

function sends({ family }: FamilyShape, rule: Rule, directions: readonly Direction[]): RuleSpec {
  return rule.comment('vipward: a port that a VIP sends from').adds(setName('sent', family), directions);
}
