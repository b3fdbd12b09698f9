// One rule under construction: an entry with its matches and its target, byte for byte as iptables writes it.

import {
  Conntrack,
  ERROR_TARGET,
  ERROR_TARGET_BYTES,
  Flag,
  IPSET_INVALID_ID,
  MATCH_HEADER_BYTES,
  MATCH_NAME,
  MATCH_REVISION,
  matchRevisions,
  STANDARD_TARGET_BYTES,
  setTargetRevision,
  type Verdict,
  XT_INV_PROTO,
} from './constants.ts';
import type { FamilyShape } from './families.ts';

/**
 * A rule in bytes that do not depend on the kernel: set indexes and chain offsets are zero, and given by
 * name.
 */
export interface RuleSpec {
  readonly bytes: Uint8Array;
  readonly sets: readonly { readonly place: number; readonly name: string }[];
  /** The chain that the rule jumps or goes to; null for a verdict. */
  readonly chain: string | null;
}

export type Direction = 'src' | 'dst';

const encoder = new TextEncoder();
const [TCP, SYN, ACK] = [6, 0x02, 0x10];

export class Rule {
  readonly #shape: FamilyShape;
  readonly #header: Uint8Array;
  readonly #matches: Uint8Array[] = [];
  readonly #sets: { place: number; name: string }[] = [];
  #length: number;

  constructor(shape: FamilyShape) {
    this.#shape = shape;
    this.#header = new Uint8Array(shape.entry.bytes);
    this.#length = shape.entry.bytes;
  }

  /** `-i lo`. */
  loopback(): this {
    this.#header.set(encoder.encode('lo'), this.#shape.entry.inInterface);
    this.#header.fill(0xff, this.#shape.entry.inMask, this.#shape.entry.inMask + 3);
    return this;
  }

  /** `-f`: IPv4 fragments behind the first. */
  laterFragment(): this {
    this.#flag(Flag.IPT_F_FRAG);
    return this;
  }

  /** `-m frag [--fragfirst]`: IPv6 packets with a fragment header, or only the first fragments. */
  fragment(first: boolean): this {
    const data = new Uint8Array(16);
    data.fill(0xff, 4, 8);
    data[12] = first ? Flag.IP6T_FRAG_FST : 0;
    return this.#match('frag', data);
  }

  /** `-m set [!] --match-set NAME DIRECTION,...`, with `! --update-counters` if `count` is false. */
  set(
    name: string,
    directions: readonly Direction[],
    { not = false, count = true }: { readonly not?: boolean; readonly count?: boolean } = {},
  ): this {
    const data = new Uint8Array(48);
    data[2] = directions.length;
    data[3] = sourceFlags(directions) | (not ? Flag.IPSET_INV_MATCH : 0);
    if (!count) data[40] = Flag.IPSET_FLAG_SKIP_COUNTER_UPDATE;
    this.#sets.push({ place: this.#length + MATCH_HEADER_BYTES, name });
    return this.#match('set', data);
  }

  /** `[!] -p NUMBER`. */
  protocol(number: number, { not = false }: { readonly not?: boolean } = {}): this {
    this.#header[this.#shape.entry.protocol] = number;
    if (not) this.#header[this.#shape.entry.inverted] = XT_INV_PROTO;
    if (this.#shape.family === 6) this.#flag(Flag.IP6T_F_PROTO);
    return this;
  }

  /** `-p icmp -m icmp --icmp-type TYPE`, any code. */
  icmp(type: number): this {
    this.protocol(this.#shape.icmpProtocol);
    return this.#match(this.#shape.icmpMatch, Uint8Array.of(type, 0, 0xff, 0));
  }

  /** `-p tcp -m tcp ! --tcp-flags SYN,ACK SYN`: a packet of TCP that would not begin a connection. */
  notSyn(): this {
    const ports = [0, 0, 0xff, 0xff];
    const flags = [0, SYN | ACK, SYN, Flag.XT_TCP_INV_FLAGS];
    return this.protocol(TCP).#match('tcp', Uint8Array.of(...ports, ...ports, ...flags));
  }

  /** `-m conntrack --ctstate STATE --ctdir REPLY`: an answer. An ICMP error about one is RELATED. */
  reply(state: 'ESTABLISHED' | 'SNAT' = 'ESTABLISHED'): this {
    const inverted = Conntrack.DIRECTION;
    return this.#conntrack(Conntrack.STATE | Conntrack.DIRECTION, { inverted, state: Conntrack[state] });
  }

  /** `-m conntrack --ctdir ORIGINAL`: a packet of the one that began the connection. */
  original(): this {
    return this.#conntrack(Conntrack.DIRECTION, {});
  }

  /** `-m conntrack --ctstate DNAT --ctdir ORIGINAL`: the packet's destination was translated. */
  dnat(): this {
    return this.#conntrack(Conntrack.STATE | Conntrack.DIRECTION, { state: Conntrack.DNAT });
  }

  /** `-m conntrack ! --ctstatus CONFIRMED`: the packet would begin a connection. */
  unconfirmed(): this {
    return this.#conntrack(Conntrack.STATUS, { inverted: Conntrack.STATUS, status: Conntrack.CONFIRMED });
  }

  /** `-m addrtype --src-type LOCAL`: the source is an address of this node. */
  sourceIsLocal(): this {
    return this.#match('addrtype', Uint8Array.of(Flag.XT_ADDRTYPE_LOCAL, 0, 0, 0, 0, 0, 0, 0));
  }

  /** `-m addrtype ! --dst-type LOCAL`: the destination is no address of this node. */
  toElsewhere(): this {
    const local = Flag.XT_ADDRTYPE_LOCAL;
    return this.#match('addrtype', Uint8Array.of(0, 0, local, 0, Flag.XT_ADDRTYPE_INVERT_DEST, 0, 0, 0));
  }

  /** `-m comment --comment TEXT`. */
  comment(text: string): this {
    const data = new Uint8Array(256);
    data.set(encoder.encode(text));
    return this.#match('comment', data);
  }

  verdict(verdict: Verdict): RuleSpec {
    return this.#close(verdict, null);
  }

  /** `-j SET --add-set NAME DIRECTION,... --exist`: adding an existing element renews it. */
  adds(name: string, directions: readonly Direction[]): RuleSpec {
    const data = new Uint8Array(24);
    const view = new DataView(data.buffer);
    data.set([directions.length, sourceFlags(directions)], 2);
    // No set to delete from, and no set to map with.
    for (const place of [4, 8]) view.setUint16(place, IPSET_INVALID_ID, true);
    view.setUint32(12, Flag.IPSET_FLAG_EXIST, true);
    // The default timeout of the set.
    view.setUint32(16, 0xffffffff, true);
    const target = header('SET', MATCH_HEADER_BYTES + data.length, setTargetRevision);
    target.set(data, MATCH_HEADER_BYTES);
    const sets = [...this.#sets, { place: this.#length + MATCH_HEADER_BYTES, name }];
    return { bytes: entry(this.#shape, this.#header, [...this.#matches, target]), sets, chain: null };
  }

  /** `-j CHAIN`: RETURN continues after this rule. */
  jump(chain: string): RuleSpec {
    return this.#close(0, chain);
  }

  /** `-g CHAIN`: RETURN continues where this chain was jumped to from. */
  goto(chain: string): RuleSpec {
    this.#flag(this.#shape.gotoFlag);
    return this.#close(0, chain);
  }

  #flag(flag: number): void {
    const place = this.#shape.entry.flags;
    this.#header[place] = (this.#header[place] ?? 0) | flag;
  }

  /** struct xt_conntrack_mtinfo3. The reply direction is the inverted original one. */
  #conntrack(
    flags: number,
    { inverted = 0, state = 0, status = 0 }: { inverted?: number; state?: number; status?: number },
  ): this {
    const data = new Uint8Array(164);
    const view = new DataView(data.buffer);
    for (const [index, word] of [flags, inverted, state, status].entries())
      view.setUint16(146 + index * 2, word, true);
    return this.#match('conntrack', data);
  }

  #match(name: keyof typeof matchRevisions, data: Uint8Array): this {
    const match = header(name, MATCH_HEADER_BYTES + ((data.length + 7) & ~7), matchRevisions[name]);
    match.set(data, MATCH_HEADER_BYTES);
    this.#matches.push(match);
    this.#length += match.length;
    return this;
  }

  #close(verdict: number, chain: string | null): RuleSpec {
    const target = header('', STANDARD_TARGET_BYTES, 0);
    new DataView(target.buffer).setInt32(MATCH_HEADER_BYTES, verdict, true);
    const bytes = entry(this.#shape, this.#header, [...this.#matches, target]);
    return { bytes, sets: this.#sets, chain };
  }
}

/** The first entry of a user chain. */
export function chainHead(shape: FamilyShape, name: string): Uint8Array {
  const target = header(ERROR_TARGET, ERROR_TARGET_BYTES, 0);
  target.set(encoder.encode(name), MATCH_HEADER_BYTES);
  return entry(shape, new Uint8Array(shape.entry.bytes), [target]);
}

/** A text that is equal for equal rules, whatever counters and indexes the kernel gives them. */
export function ruleText({ bytes, sets, chain }: RuleSpec): string {
  const names = sets.map(({ place, name }) => `${place}=${name}`);
  return `${String.fromCharCode(...bytes)} ${names.join(' ')} ${chain ?? ''}`;
}

/** One bit for each dimension that is a source; bit 0 is not a dimension. */
function sourceFlags(directions: readonly Direction[]): number {
  return directions.reduce((flags, one, index) => flags | (one === 'src' ? 1 << (index + 1) : 0), 0);
}

function header(name: string, sizeBytes: number, revision: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  new DataView(bytes.buffer).setUint16(0, sizeBytes, true);
  bytes.set(encoder.encode(name), MATCH_NAME);
  bytes[MATCH_REVISION] = revision;
  return bytes;
}

/** The last part is the target. */
function entry(shape: FamilyShape, head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const total = parts.reduce((sum, part) => sum + part.length, head.length);
  const bytes = new Uint8Array(total);
  bytes.set(head);
  let place = head.length;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  const view = new DataView(bytes.buffer);
  view.setUint16(shape.entry.targetOffset, total - (parts.at(-1)?.length ?? 0), true);
  view.setUint16(shape.entry.nextOffset, total, true);
  return bytes;
}
