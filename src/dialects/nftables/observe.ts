// What `--filter observe` puts in the place of the drops: a packet that would be dropped is counted by its
// source and port, and by its VIP, and goes on.

import { protocolNumbers } from '../../state/port.ts';
import { KeyType, NF_ACCEPT, PayloadBase } from './constants.ts';
import { Rule } from './expressions.ts';
import { address, type FamilyShape, ruleOf } from './families.ts';
import type { SetShape } from './objects.ts';

/** Samples of a family; once there are so many, others are counted by VIP alone. */
export const samples = 1024;
/** How long a sample is kept behind its last packet. */
export const sampleTimeoutMs = 3_600_000;

/** The set of the samples: saddr . daddr . l4proto . dport, filled by observeRules(). */
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
 * One of the first rules takes the sample; a protocol without ports has port 0. Where the set is full that
 * rule ends, and the last two accept as they do with every packet.
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
        .update(set, 0),
    ),
    key(portless).value(portPlace, Uint8Array.of(0, 0)).update(set, 0),
    address(shape, `drop${shape.family}`).verdict(NF_ACCEPT),
    new Rule().verdict(NF_ACCEPT),
  ];
}
