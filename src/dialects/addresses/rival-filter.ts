// Which frames tell of a rival for an address that is asked for, as classic BPF (linux/filter.h), so that a
// busy link wakes nobody.

import { IPPROTO_ICMPV6, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from './constants.ts';
import { ARPOP_REPLY, ARPOP_REQUEST } from './frames.ts';

/** BPF_LD with BPF_ABS, of a word, a half-word and a byte. */
const [word, half, byte] = [0x20, 0x28, 0x30];
/** BPF_JMP with BPF_JEQ and BPF_JSET, and BPF_RET. */
const [equal, anySet, result] = [0x15, 0x45, 0x06];
const instructionBytes = 8;

/** What the kernel knows of a packet, at offsets of their own (SKF_AD_OFF). */
const [packetType, interfaceOfPacket] = [-0x1000 + 4, -0x1000 + 8];
const PACKET_OTHERHOST = 3;
/** Each router takes one away, so that nothing from behind one has as many (RFC 4861 7.1.1, 7.1.2). */
const hopsOfTheLink = 255;

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** How many instructions are left out where a comparison holds, and where it does not; or its last word. */
  readonly ifSo?: number | Verdict;
  readonly ifNot?: number | Verdict;
}
type Verdict = 'keep' | 'drop';

/** How every program ends. */
const verdicts: readonly Instruction[] = [
  { code: result, k: 0xffff },
  { code: result, k: 0 },
];

/**
 * Of whole frames of ARP: replies to nobody's address and requests from it, that came in on this very
 * interface.
 */
export function arpFilter(interfaceIndex: number): Uint8Array {
  return encode([
    ...forUs(interfaceIndex),
    { code: half, k: 20 },
    { code: equal, k: ARPOP_REPLY, ifNot: 2 },
    { code: word, k: 38 },
    { code: equal, k: 0, ifSo: 'keep', ifNot: 'drop' },
    { code: equal, k: ARPOP_REQUEST, ifNot: 'drop' },
    { code: word, k: 28 },
    { code: equal, k: 0, ifSo: 'keep', ifNot: 'drop' },
  ]);
}

/**
 * Of whole frames of IPv6: advertisements from this link that nobody's address has solicited, and
 * solicitations from nobody's address, that came in on this very interface.
 */
export function neighborFilter(interfaceIndex: number): Uint8Array {
  return encode([
    ...forUs(interfaceIndex),
    { code: half, k: 20 },
    { code: equal, k: (IPPROTO_ICMPV6 << 8) | hopsOfTheLink, ifNot: 'drop' },
    { code: byte, k: 54 },
    { code: equal, k: NEIGHBOR_ADVERTISEMENT, ifNot: 2 },
    { code: byte, k: 58 },
    { code: anySet, k: 0x40, ifSo: 'drop', ifNot: 'keep' },
    { code: equal, k: NEIGHBOR_SOLICITATION, ifNot: 'drop' },
    ...[22, 26, 30, 34].flatMap((place): Instruction[] => [
      { code: word, k: place },
      { code: equal, k: 0, ifNot: 'drop' },
    ]),
  ]);
}

/** A socket bound to an interface also hears what belongs to VLANs on it, or to a bridge it is a port of. */
function forUs(interfaceIndex: number): readonly Instruction[] {
  return [
    { code: word, k: interfaceOfPacket },
    { code: equal, k: interfaceIndex, ifNot: 'drop' },
    { code: word, k: packetType },
    { code: equal, k: PACKET_OTHERHOST, ifSo: 'drop' },
  ];
}

/** An array of struct sock_filter. */
function encode(judging: readonly Instruction[]): Uint8Array {
  const instructions = [...judging, ...verdicts];
  const program = new Uint8Array(instructions.length * instructionBytes);
  const view = new DataView(program.buffer);
  for (const [index, { code, k, ifSo = 0, ifNot = 0 }] of instructions.entries()) {
    const place = index * instructionBytes;
    const left = (to: number | Verdict): number =>
      typeof to === 'number' ? to : judging.length + (to === 'keep' ? 0 : 1) - index - 1;
    view.setUint16(place, code, true);
    program.set([left(ifSo), left(ifNot)], place + 2);
    view.setUint32(place + 4, k, true);
  }
  return program;
}
