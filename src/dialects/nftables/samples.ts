// Samples of packets that `--filter observe` let through, read from the sets that observe.ts fills.

import { attributeList, attributesOf, messagesOf, u16Be, u64Be } from '../../netlink/reader.ts';
import { formatAddress } from '../../state/address.ts';
import type { Sample, Sampler } from '../dialect.ts';
import {
  CounterAttribute,
  DATA_VALUE,
  ElementAttribute,
  ElementListAttribute,
  EXPR_DATA,
  Message,
} from './constants.ts';
import { elementsDump } from './dumps.ts';
import { families } from './families.ts';
import { samples, sampleTimeoutMs } from './observe.ts';

export const sampler: Sampler = {
  capacity: samples,
  dumps: families.map(({ family }) => elementsDump(`seen${family}`)),
  read: (replies) => families.flatMap(({ addressBytes }, index) => readSamples(replies[index], addressBytes)),
};

function readSamples(reply: Uint8Array | undefined, addressBytes: number): Sample[] {
  const found: Sample[] = [];
  for (const { type, payload } of messagesOf(reply ?? new Uint8Array())) {
    if (type !== Message.NEWSETELEM) continue;
    for (const [, item] of attributeList(attributesOf(payload, 4).bytes(ElementListAttribute.ELEMENTS)))
      found.push(...readSample(item, addressBytes));
  }
  return found;
}

/** saddr . daddr . l4proto . dport, each padded to four bytes; the counter belongs to the element. */
function readSample(item: Uint8Array, addressBytes: number): Sample[] {
  const element = attributesOf(item);
  const key = element.nest(ElementAttribute.KEY).get(DATA_VALUE);
  if (key === undefined || key.length !== addressBytes * 2 + 8) return [];
  const counter = element.nest(ElementAttribute.EXPR).nest(EXPR_DATA);
  const left = element.get(ElementAttribute.EXPIRATION);
  return [
    {
      source: formatAddress(key.subarray(0, addressBytes)),
      vip: formatAddress(key.subarray(addressBytes, addressBytes * 2)),
      protocol: key[addressBytes * 2] ?? 0,
      port: u16Be(key, addressBytes * 2 + 4),
      packets: u64Be(counter.bytes(CounterAttribute.PACKETS)),
      idleMs: left === undefined ? 0 : Math.max(0, sampleTimeoutMs - u64Be(left)),
    },
  ];
}
