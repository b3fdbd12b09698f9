// Rule expressions in canonical form: the same bytes that the kernel dumps, so that `have` and `want` compare
// bytewise.

import { Writer } from '../../netlink/writer.ts';
import {
  BitwiseAttribute,
  CmpAttribute,
  CmpOperator,
  CounterAttribute,
  CtAttribute,
  DATA_VALUE,
  DATA_VERDICT,
  DynsetAttribute,
  EXPR_DATA,
  EXPR_NAME,
  ExthdrAttribute,
  ImmediateAttribute,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_SRC_NAT,
  LIST_ELEM,
  LookupAttribute,
  MetaAttribute,
  MetaKey,
  NFT_BITWISE_BOOL,
  NFT_CT_DIRECTION,
  NFT_CT_STATE,
  NFT_CT_STATUS,
  NFT_DYNSET_OP_UPDATE,
  NFT_EXTHDR_OP_IPV6,
  NFT_LOOKUP_F_INV,
  PayloadAttribute,
  type PayloadBase,
  REG_VERDICT,
  STATE_ESTABLISHED,
  VerdictAttribute,
} from './constants.ts';

/**
 * The number of a four-byte register as the kernel dumps it: NFT_REG32_00 becomes 1, NFT_REG32_04 becomes 2.
 */
export function register(index: number): number {
  return index % 4 === 0 ? index / 4 + 1 : index + 8;
}

/** One rule: its expressions, written in order. Register indices count four-byte registers from 0. */
export class Rule {
  readonly #writer = new Writer(512);

  /** The expressions of the rule as a list of attributes, without the nest around them. */
  get bytes(): Uint8Array {
    return this.#writer.bytes.slice();
  }

  metaNfproto(index: number): this {
    return this.#meta(MetaKey.NFPROTO, index);
  }

  metaL4proto(index: number): this {
    return this.#meta(MetaKey.L4PROTO, index);
  }

  metaIif(index: number): this {
    return this.#meta(MetaKey.IIF, index);
  }

  payload(base: PayloadBase, offset: number, length: number, index: number): this {
    return this.expression('payload', (writer) => {
      writer.attributeU32Be(PayloadAttribute.DREG, register(index));
      writer.attributeU32Be(PayloadAttribute.BASE, base);
      writer.attributeU32Be(PayloadAttribute.OFFSET, offset);
      writer.attributeU32Be(PayloadAttribute.LEN, length);
    });
  }

  /** Loads a field of an IPv6 extension header. The rule does not match a packet without such a header. */
  extensionHeader(type: number, offset: number, length: number, index: number): this {
    return this.expression('exthdr', (writer) => {
      writer.attributeU32Be(ExthdrAttribute.DREG, register(index));
      writer.attributeU8(ExthdrAttribute.TYPE, type);
      writer.attributeU32Be(ExthdrAttribute.OFFSET, offset);
      writer.attributeU32Be(ExthdrAttribute.LEN, length);
      writer.attributeU32Be(ExthdrAttribute.FLAGS, 0);
      writer.attributeU32Be(ExthdrAttribute.OP, NFT_EXTHDR_OP_IPV6);
    });
  }

  compareEqual(index: number, value: Uint8Array): this {
    return this.#compare(index, CmpOperator.EQ, value);
  }

  compareNotEqual(index: number, value: Uint8Array): this {
    return this.#compare(index, CmpOperator.NEQ, value);
  }

  /** Masks the register in place. */
  mask(index: number, mask: Uint8Array): this {
    return this.expression('bitwise', (writer) => {
      writer.attributeU32Be(BitwiseAttribute.SREG, register(index));
      writer.attributeU32Be(BitwiseAttribute.DREG, register(index));
      writer.attributeU32Be(BitwiseAttribute.LEN, mask.length);
      writer.attributeU32Be(BitwiseAttribute.OP, NFT_BITWISE_BOOL);
      this.#data(BitwiseAttribute.MASK, mask);
      this.#data(BitwiseAttribute.XOR, new Uint8Array(mask.length));
    });
  }

  lookup(set: string, index: number, { not = false }: { readonly not?: boolean } = {}): this {
    return this.expression('lookup', (writer) => {
      writer.attributeText(LookupAttribute.SET, set);
      writer.attributeU32Be(LookupAttribute.SREG, register(index));
      writer.attributeU32Be(LookupAttribute.FLAGS, not ? NFT_LOOKUP_F_INV : 0);
    });
  }

  /** Loads a constant instead of a packet field. */
  value(index: number, value: Uint8Array): this {
    return this.expression('immediate', (writer) => {
      writer.attributeU32Be(ImmediateAttribute.DREG, register(index));
      this.#data(ImmediateAttribute.DATA, value);
    });
  }

  /** Adds or renews a key in a set, and counts there if `counts`. A full set is no match. */
  update(set: string, index: number, { counts }: { readonly counts: boolean }): this {
    return this.expression('dynset', (writer) => {
      writer.attributeU32Be(DynsetAttribute.SREG_KEY, register(index));
      writer.attributeU32Be(DynsetAttribute.OP, NFT_DYNSET_OP_UPDATE);
      writer.attributeText(DynsetAttribute.SET_NAME, set);
      writer.attributeU64Be(DynsetAttribute.TIMEOUT, 0n);
      if (counts) this.#counter(DynsetAttribute.EXPR);
      writer.attributeU32Be(DynsetAttribute.FLAGS, 0);
    });
  }

  /**
   * Matches an answer, but no ICMP error about one (RELATED). Every expression with `ct` switches conntrack
   * on in the network namespace, and uses the first register.
   */
  ctReply(): this {
    const established = this.#ctBits(NFT_CT_STATE, STATE_ESTABLISHED);
    return established.compareNotEqual(0, new Uint8Array(4)).#ctDirection(IP_CT_DIR_REPLY);
  }

  /** Matches a packet of the one that began the connection. */
  ctOriginal(): this {
    return this.#ctDirection(IP_CT_DIR_ORIGINAL);
  }

  /** Matches a connection with a translated source. */
  ctStatusSnat(): this {
    return this.#ctBits(NFT_CT_STATUS, IPS_SRC_NAT).compareNotEqual(0, new Uint8Array(4));
  }

  /** Matches a packet of which the destination was translated; its answers have a translated source. */
  ctDnat(): this {
    const translated = this.#ctBits(NFT_CT_STATUS, IPS_DST_NAT);
    return translated.compareNotEqual(0, new Uint8Array(4)).#ctDirection(IP_CT_DIR_ORIGINAL);
  }

  /** Matches a packet that would begin a connection. */
  ctUnconfirmed(): this {
    return this.#ctBits(NFT_CT_STATUS, IPS_CONFIRMED).compareEqual(0, new Uint8Array(4));
  }

  /** A verdict of constants.ts; `chain` is the target of a goto. */
  verdict(code: number, chain?: string): this {
    return this.expression('immediate', (writer) => {
      writer.attributeU32Be(ImmediateAttribute.DREG, REG_VERDICT);
      const data = writer.beginNest(ImmediateAttribute.DATA);
      const verdict = writer.beginNest(DATA_VERDICT);
      writer.attributeU32Be(VerdictAttribute.CODE, code);
      if (chain !== undefined) writer.attributeText(VerdictAttribute.CHAIN, chain);
      writer.endNest(verdict);
      writer.endNest(data);
    });
  }

  /** An expression by its name in the kernel, with its attributes. */
  expression(name: string, write: (writer: Writer) => void): this {
    const item = this.#writer.beginNest(LIST_ELEM);
    this.#writer.attributeText(EXPR_NAME, name);
    const data = this.#writer.beginNest(EXPR_DATA);
    write(this.#writer);
    this.#writer.endNest(data);
    this.#writer.endNest(item);
    return this;
  }

  #counter(type: number): void {
    const expression = this.#writer.beginNest(type);
    this.#writer.attributeText(EXPR_NAME, 'counter');
    const counter = this.#writer.beginNest(EXPR_DATA);
    this.#writer.attributeU64Be(CounterAttribute.BYTES, 0n);
    this.#writer.attributeU64Be(CounterAttribute.PACKETS, 0n);
    this.#writer.endNest(counter);
    this.#writer.endNest(expression);
  }

  #ctDirection(direction: number): this {
    return this.#ct(NFT_CT_DIRECTION).compareEqual(0, Uint8Array.of(direction));
  }

  #ctBits(key: number, bits: number): this {
    return this.#ct(key).mask(0, Uint8Array.of(bits, 0, 0, 0));
  }

  #ct(key: number): this {
    return this.expression('ct', (writer) => {
      writer.attributeU32Be(CtAttribute.DREG, register(0));
      writer.attributeU32Be(CtAttribute.KEY, key);
    });
  }

  #meta(key: number, index: number): this {
    return this.expression('meta', (writer) => {
      writer.attributeU32Be(MetaAttribute.KEY, key);
      writer.attributeU32Be(MetaAttribute.DREG, register(index));
    });
  }

  #compare(index: number, operator: number, value: Uint8Array): this {
    return this.expression('cmp', (writer) => {
      writer.attributeU32Be(CmpAttribute.SREG, register(index));
      writer.attributeU32Be(CmpAttribute.OP, operator);
      this.#data(CmpAttribute.DATA, value);
    });
  }

  #data(type: number, value: Uint8Array): void {
    const nest = this.#writer.beginNest(type);
    this.#writer.attributeBytes(DATA_VALUE, value);
    this.#writer.endNest(nest);
  }
}
