// What the second guard takes for an answer. Conntrack alone cannot tell: a packet that passed this node as
// if from a VIP, before the VIP came here, has left an entry that makes an answer of every probe behind it.

import { protocolNumbers } from '../../state/port.ts';
import { KeyType, NF_ACCEPT, NFT_GOTO, PayloadBase } from './constants.ts';
import { Rule } from './expressions.ts';
import { type FamilyShape, families, ruleOf } from './families.ts';
import type { SetShape } from './objects.ts';

/**
 * The most ports per family that VIPs send from, as many as nine addresses can choose from by default; at any
 * further port they get no answer.
 */
const mostPorts = 262_144;
/** Longer than conntrack by default keeps any entry but those of TCP and SCTP. */
const lifetimeMs = 3_600_000;

const { TCP, UDP, SCTP } = protocolNumbers;
const [SYN, ACK] = [0x02, 0x10];

/** The set of ports that VIPs have sent from, filled by sentRules(). A protocol without ports has port 0. */
export function sentShape({ family, addressBytes }: FamilyShape): SetShape {
  return {
    name: `sent${family}`,
    keyType: family === 4 ? KeyType.port4 : KeyType.port6,
    keyLengthBytes: addressBytes + 8,
    size: mostPorts,
    counter: false,
    timeoutMs: lifetimeMs,
  };
}

/**
 * At the hook output: sends what a VIP with egress sends, except by TCP, to the chain of its family. Each
 * packet of the node comes by here, so the cheap test is first: answers of TCP are known by their flags.
 */
export function outputRules(): Rule[] {
  const stream = new Rule().metaL4proto(0).compareEqual(0, Uint8Array.of(TCP)).verdict(NF_ACCEPT);
  const others = families.map((shape) =>
    ruleOf(shape)
      .payload(PayloadBase.NETWORK_HEADER, shape.sourceOffset, shape.addressBytes, 0)
      .lookup(`egress${shape.family}`, 0)
      .verdict(NFT_GOTO, `sent${shape.family}`),
  );
  return [stream, ...others];
}

/**
 * What the node asks from a VIP may be answered. What it answers itself opens nothing: a port that it serves
 * may be declared for some sources only.
 */
export function sentRules(shape: FamilyShape): Rule[] {
  const asks = (): Rule => new Rule().ctOriginal();
  const noted = (rule: Rule, ported: boolean): Rule =>
    updated(shape, keyed(rule, shape, { address: shape.sourceOffset, port: 0, ported }));
  const portless = asks();
  for (const protocol of [UDP, SCTP]) portless.metaL4proto(0).compareNotEqual(0, Uint8Array.of(protocol));
  const ported = [UDP, SCTP].map((protocol) =>
    noted(ofFamily(asks(), shape).metaL4proto(0).compareEqual(0, Uint8Array.of(protocol)), true),
  );
  return [...ported, noted(ofFamily(portless, shape), false)];
}

/**
 * Accepts answers to what the node has sent from a VIP. Of TCP that is all that would not begin a connection.
 * Any other packet may begin one, so it needs a port that the VIP has sent from, and keeps that port open.
 */
export function answerRules(shape: FamilyShape): Rule[] {
  const others = [true, false].map((ported) => {
    const end = { address: shape.destinationOffset, port: 2, ported };
    const known = keyed(ruleOf(shape), shape, end).lookup(`sent${shape.family}`, 0).ctReply();
    return updated(shape, keyed(known, shape, end));
  });
  return [streamAnswer(), ...others].map((rule) => rule.verdict(NF_ACCEPT));
}

/**
 * Accepts answers that NAT has translated back, so that the port is the VIP's own. NAT proves nothing: it
 * takes any source. TCP and VIPs with egress need as much as answerRules() asks; of other VIPs no ports are
 * noted.
 */
export function translatedRules(shape: FamilyShape, egress: boolean): Rule[] {
  const other = new Rule().metaL4proto(0).compareNotEqual(0, Uint8Array.of(TCP)).ctReply().ctStatusSnat();
  if (egress)
    ofFamily(other, shape)
      .payload(PayloadBase.NETWORK_HEADER, shape.destinationOffset, shape.addressBytes, 0)
      .lookup(`egress${shape.family}`, 0, { not: true });
  const streams = egress ? [] : [streamAnswer().ctStatusSnat()];
  return [other, ...streams].map((rule) => rule.verdict(NF_ACCEPT));
}

/** A packet of TCP in the direction of answers that does not begin a connection. */
function streamAnswer(): Rule {
  return new Rule()
    .ctReply()
    .metaL4proto(0)
    .compareEqual(0, Uint8Array.of(TCP))
    .payload(PayloadBase.TRANSPORT_HEADER, 13, 1, 0)
    .mask(0, Uint8Array.of(SYN | ACK))
    .compareNotEqual(0, Uint8Array.of(SYN));
}

/** The test of the family, where nft looks for it. */
function ofFamily(rule: Rule, { nfproto }: FamilyShape): Rule {
  return rule.metaNfproto(0).compareEqual(0, Uint8Array.of(nfproto));
}

/** Offsets in the headers of the packet. */
interface End {
  readonly address: number;
  readonly port: number;
  readonly ported: boolean;
}

/** address . l4proto . port in adjacent registers; the port is masked away where the protocol has none. */
function keyed(rule: Rule, { addressBytes }: FamilyShape, { address, port, ported }: End): Rule {
  const words = addressBytes / 4;
  const key = rule
    .payload(PayloadBase.NETWORK_HEADER, address, addressBytes, 0)
    .metaL4proto(words)
    .payload(PayloadBase.TRANSPORT_HEADER, port, 2, words + 1);
  return ported ? key : key.mask(words + 1, Uint8Array.of(0, 0));
}

function updated({ family }: FamilyShape, rule: Rule): Rule {
  return rule.update(`sent${family}`, 0, { counts: false });
}
