// The rules that replace the drops with `--filter observe`: a packet that would be dropped is counted by
// source and port, and by VIP, and then accepted.

import { protocolNumbers } from '../../state/port.ts';
import { KeyType, NF_ACCEPT, PayloadBase } from './constants.ts';
import { Rule } from './expressions.ts';
import { address, type FamilyShape, ruleOf } from './families.ts';
import type { SetShape } from './objects.ts';

/** The most samples per family; when the set is full, other packets are counted by VIP only. */
export const samples = 1024;
/** The time from its last packet until a sample expires. */
export const sampleTimeoutMs = 3_600_000;

/** The set of samples, filled by observeRules(): saddr . daddr . l4proto . dport. */
export function seenShape({ family, addressBytes }: FamilyShape): SetShape {
  return {
    name: `seen${family}`,
    keyType: family === 4 ? KeyType.seen4 : KeyType.seen6,
    keyLengthBytes: addressBytes * 2 + 8,
    size: samples,
    counter: false,
    timeoutMs: sampleTimeoutMs,
  };
}

/**
 * The first rules take the sample; a protocol without ports gets port 0. If the set is full, the sampling
 * rule ends without a match. The last two rules count by VIP and accept.
 */
export function observeRules(shape: FamilyShape): Rule[] {
  const words = shape.addressBytes / 4;
  const portPlace = words * 2 + 1;
  const key = (rule: Rule): Rule =>
    rule
      .payload(PayloadBase.NETWORK_HEADER, shape.sourceOffset, shape.addressBytes, 0)
      .payload(PayloadBase.NETWORK_HEADER, shape.destinationOffset, shape.addressBytes, words)
      .metaL4proto(words * 2);
  const protocols = Object.values(protocolNumbers);
  const portless = new Rule();
  for (const protocol of protocols) portless.metaL4proto(0).compareNotEqual(0, Uint8Array.of(protocol));
  portless.metaNfproto(0).compareEqual(0, Uint8Array.of(shape.nfproto));
  const set = `seen${shape.family}`;
  return [
    ...protocols.map((protocol) =>
      key(ruleOf(shape).metaL4proto(0).compareEqual(0, Uint8Array.of(protocol)))
        .payload(PayloadBase.TRANSPORT_HEADER, 2, 2, portPlace)
        .update(set, 0, { counts: true }),
    ),
    key(portless).value(portPlace, Uint8Array.of(0, 0)).update(set, 0, { counts: true }),
    address(shape, `drop${shape.family}`).verdict(NF_ACCEPT),
    new Rule().verdict(NF_ACCEPT),
  ];
}
