// Classic BPF programs (linux/filter.h) that pass only the frames of a rival for a probed address, so that a
// busy link does not wake the agent.

import { IPPROTO_ICMPV6, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION } from './constants.ts';
import { ARPOP_REPLY, ARPOP_REQUEST } from './frames.ts';

/** BPF_LD with BPF_ABS: a word, a half-word and a byte. */
const [word, half, byte] = [0x20, 0x28, 0x30];
/** BPF_JMP with BPF_JEQ and BPF_JSET, and BPF_RET. */
const [equal, anySet, result] = [0x15, 0x45, 0x06];
const instructionBytes = 8;

/** The kernel's metadata of a packet, at special offsets (SKF_AD_OFF). */
const [packetType, interfaceOfPacket] = [-0x1000 + 4, -0x1000 + 8];
const PACKET_OTHERHOST = 3;
/** Each router decrements it, so a packet from behind a router has less (RFC 4861 7.1.1, 7.1.2). */
const hopsOfTheLink = 255;

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** The number of instructions to skip if the comparison holds, or does not hold; or the final verdict. */
  readonly ifSo?: number | Verdict;
  readonly ifNot?: number | Verdict;
}
type Verdict = 'keep' | 'drop';

/** The last instructions of every program. */
const verdicts: readonly Instruction[] = [
  { code: result, k: 0xffff },
  { code: result, k: 0 },
];

/**
 * Passes whole ARP frames that came in on this very interface: replies to the unspecified address and
 * requests from it.
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
 * Passes whole IPv6 frames that came in on this very interface: unsolicited advertisements from this link,
 * and solicitations from the unspecified address.
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

/** A socket on an interface also gets frames of its VLANs, and of the bridge it is a port of. */
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
