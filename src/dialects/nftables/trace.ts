// The table's verdict on a packet, from the elements that the kernel holds now.

import { addressBytes, familyOf, maskBytes } from '../../state/address.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { Packet, Tracer } from '../dialect.ts';
import { elementQuestion, readPresent } from './counters.ts';
import { describeKey } from './describe.ts';

/** Positions in the request. From `ranges` on there is one element per source prefix length from 1 up. */
const place = { gate: 0, allow: 1, host: 2, egress: 3, ranges: 4 } as const;

export const tracer: Tracer = {
  question: (packet) => elementQuestion(elementsOf(packet)),
  read(reply, packet, observe) {
    const present = readPresent(reply);
    const family = familyOf(packet.address);
    const elements = elementsOf(packet);
    const host = present.has(place.host);
    if (!present.has(place.gate)) return { guarded: false, open: null, host, rule: null };
    const chain = present.has(place.egress) ? `egress${family}` : `guard${family}`;
    const range = elements.findIndex((_, index) => index >= place.ranges && present.has(index));
    const found = elements[present.has(place.allow) ? place.allow : range];
    if (found === undefined) {
      const daddr = family === 4 ? 'ip daddr' : 'ip6 daddr';
      const rule = observe
        ? `observe${family}: ${daddr} @drop${family} accept`
        : `${chain}: ${daddr} @drop${family} drop`;
      return { guarded: true, open: null, host, rule };
    }
    const rule = `${chain}: { ${describeKey(found.key, family === 4 ? 4 : 16)} } in @${found.set}`;
    return { guarded: true, open: found.set === `allow${family}` ? 'to all' : 'to its source', host, rule };
  },
};

function elementsOf({ address, protocol, port, from }: Packet): { set: string; key: Uint8Array }[] {
  const family = familyOf(address);
  const vip = addressBytes(address);
  const isPorted = Object.values(protocolNumbers).includes(protocol);
  const key = Uint8Array.of(
    ...vip,
    protocol,
    0,
    0,
    0,
    ...(isPorted ? [port >> 8, port & 0xff] : [0, 0]),
    0,
    0,
  );
  const elements = [
    { set: `vip${family}`, key: vip },
    { set: `allow${family}`, key },
    { set: `host${family}`, key },
    { set: `egress${family}`, key: vip },
  ];
  for (let length = 1; from !== null && length <= vip.length * 8; length++) {
    const source = maskBytes(addressBytes(from), length);
    elements.push({ set: `src${family}_${length}`, key: Uint8Array.of(...key, ...source) });
  }
  return elements;
}
