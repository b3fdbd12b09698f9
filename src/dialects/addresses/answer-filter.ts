// Which packets are answers to a probe, as classic BPF (linux/filter.h), so that a busy link wakes nobody.

import { NEIGHBOR_ADVERTISEMENT } from './constants.ts';
import { ARPOP_REPLY } from './frames.ts';

/** BPF_LD with BPF_ABS, of a word, a half-word and a byte. */
const [word, half, byte] = [0x20, 0x28, 0x30];
/** BPF_JMP with BPF_JEQ and BPF_JSET, and BPF_RET. */
const [equal, anySet, result] = [0x15, 0x45, 0x06];
const instructionBytes = 8;

/** What the kernel knows of a packet, at offsets of their own (SKF_AD_OFF), and its network header. */
const [packetType, interfaceOfPacket] = [-0x1000 + 4, -0x1000 + 8];
const networkHeader = -0x100000;
const PACKET_OTHERHOST = 3;
/** Each router takes one away, so that nothing from behind one has as many (RFC 4861 7.1.2). */
const hopsOfTheLink = 255;

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** How many instructions are left out where a comparison holds, and where it does not. */
  readonly ifSo?: number;
  readonly ifNot?: number;
}

const keep: Instruction = { code: result, k: 0xffff };
const drop: Instruction = { code: result, k: 0 };

/**
 * Of whole frames of ARP: replies to nobody's address that came in on this very interface. A socket bound to
 * one also hears what belongs to VLANs on it, or to the bridge that it is a port of.
 */
export function arpAnswerFilter(interfaceIndex: number): Uint8Array {
  return encode([
    { code: word, k: interfaceOfPacket },
    { code: equal, k: interfaceIndex, ifNot: 7 },
    { code: word, k: packetType },
    { code: equal, k: PACKET_OTHERHOST, ifSo: 5 },
    { code: half, k: 20 },
    { code: equal, k: ARPOP_REPLY, ifNot: 3 },
    { code: word, k: 38 },
    { code: equal, k: 0, ifNot: 1 },
    keep,
    drop,
  ]);
}

/** Of ICMPv6 messages: advertisements from this link that nobody's address has solicited. */
export const advertisementFilter: Uint8Array = encode([
  { code: byte, k: networkHeader + 7 },
  { code: equal, k: hopsOfTheLink, ifNot: 5 },
  { code: byte, k: 0 },
  { code: equal, k: NEIGHBOR_ADVERTISEMENT, ifNot: 3 },
  { code: byte, k: 4 },
  { code: anySet, k: 0x40, ifSo: 1 },
  keep,
  drop,
]);

/** An array of struct sock_filter. */
function encode(instructions: readonly Instruction[]): Uint8Array {
  const program = new Uint8Array(instructions.length * instructionBytes);
  const view = new DataView(program.buffer);
  for (const [index, { code, k, ifSo = 0, ifNot = 0 }] of instructions.entries()) {
    const place = index * instructionBytes;
    view.setUint16(place, code, true);
    program.set([ifSo, ifNot], place + 2);
    view.setUint32(place + 4, k, true);
  }
  return program;
}
