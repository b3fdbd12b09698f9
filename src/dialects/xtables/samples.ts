// Samples of packets that `--filter observe` let through, read from the sets that observe.ts fills.

import { noBytes, u32Be, u64Be } from '../../netlink/reader.ts';
import type { Sample, Sampler } from '../dialect.ts';
import { DataAttribute } from './constants.ts';
import { elementsDump, sampleSetNames } from './dumps.ts';
import { families } from './families.ts';
import { type Key, keyText } from './objects.ts';
import { samples, sampleTimeoutSeconds } from './observe.ts';
import { keyOf, listedElements } from './read-sets.ts';

export const sampler: Sampler = {
  capacity: samples,
  dumps: sampleSetNames.map(elementsDump),
  read(replies) {
    return families.flatMap((_, index) => readSamples(replies[index * 2], replies[index * 2 + 1]));
  },
};

/** One sample per element that has not expired, joined from both sets. */
function readSamples(seen: Uint8Array = noBytes, last: Uint8Array = noBytes): Sample[] {
  const packets = new Map<string, number>();
  for (const { data } of listedElements(seen)) {
    const counted = data.get(DataAttribute.PACKETS);
    packets.set(keyText(keyOf(data)), counted === undefined ? 0 : u64Be(counted));
  }
  const found = new Map<string, Sample>();
  for (const { data } of listedElements(last)) {
    const key = keyOf(data);
    const left = u32Be(data.bytes(DataAttribute.TIMEOUT));
    const idleMs = Math.max(0, sampleTimeoutSeconds - left) * 1000;
    const sample = sampleOf(key, packets.get(keyText(key)) ?? 1, idleMs);
    const text = `${sample.vip} ${sample.source} ${sample.protocol} ${sample.port}`;
    const other = found.get(text);
    found.set(text, other === undefined ? sample : together(sample, other));
  }
  return [...found.values()];
}

const icmp: ReadonlySet<number> = new Set([1, 58]);

/** ipset stores the ICMP type and code as the port; a sample of ICMP has port 0. */
function sampleOf({ address, protocol, port, source }: Key, packets: number, idleMs: number): Sample {
  const of = { vip: address, source: source ?? address, protocol };
  return { ...of, port: icmp.has(protocol) ? 0 : port, packets, idleMs };
}

function together(one: Sample, other: Sample): Sample {
  const idleMs = Math.min(one.idleMs, other.idleMs);
  return { ...one, packets: one.packets + other.packets, idleMs };
}
