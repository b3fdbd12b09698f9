// Rule expressions in canonical form: byte for byte as the kernel dumps them, so that `have` and `want`
// compare as bytes.

import { attributeList, attributesOf, textOf } from '../../netlink/reader.ts';
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
  FibAttribute,
  ImmediateAttribute,
  IP_CT_DIR_REPLY,
  IPS_DST_NAT,
  LIST_ELEM,
  LookupAttribute,
  MetaAttribute,
  MetaKey,
  NFT_BITWISE_BOOL,
  NFT_CT_DIRECTION,
  NFT_CT_STATUS,
  NFT_DYNSET_OP_UPDATE,
  NFT_EXTHDR_OP_IPV6,
  NFT_FIB_RESULT_ADDRTYPE,
  NFTA_FIB_F_SADDR,
  PayloadAttribute,
  type PayloadBase,
  REG_VERDICT,
  RTN_LOCAL,
  VerdictAttribute,
} from './constants.ts';

/**
 * Four-byte registers by number: NFT_REG32_00 is written as register 1, NFT_REG32_04 as 2, as the kernel
 * dumps them.
 */
function register(index: number): number {
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
    return this.#expression('payload', (writer) => {
      writer.attributeU32Be(PayloadAttribute.DREG, register(index));
      writer.attributeU32Be(PayloadAttribute.BASE, base);
      writer.attributeU32Be(PayloadAttribute.OFFSET, offset);
      writer.attributeU32Be(PayloadAttribute.LEN, length);
    });
  }

  /** A field of an IPv6 extension header; the rule ends here if the packet has none of that type. */
  extensionHeader(type: number, offset: number, length: number, index: number): this {
    return this.#expression('exthdr', (writer) => {
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

  /** Masks in place. */
  mask(index: number, mask: Uint8Array): this {
    return this.#expression('bitwise', (writer) => {
      writer.attributeU32Be(BitwiseAttribute.SREG, register(index));
      writer.attributeU32Be(BitwiseAttribute.DREG, register(index));
      writer.attributeU32Be(BitwiseAttribute.LEN, mask.length);
      writer.attributeU32Be(BitwiseAttribute.OP, NFT_BITWISE_BOOL);
      this.#data(BitwiseAttribute.MASK, mask);
      this.#data(BitwiseAttribute.XOR, new Uint8Array(mask.length));
    });
  }

  lookup(set: string, index: number): this {
    return this.#expression('lookup', (writer) => {
      writer.attributeText(LookupAttribute.SET, set);
      writer.attributeU32Be(LookupAttribute.SREG, register(index));
      writer.attributeU32Be(LookupAttribute.FLAGS, 0);
    });
  }

  /** A value in place of a field of the packet. */
  value(index: number, value: Uint8Array): this {
    return this.#expression('immediate', (writer) => {
      writer.attributeU32Be(ImmediateAttribute.DREG, register(index));
      this.#data(ImmediateAttribute.DATA, value);
    });
  }

  /**
   * Puts the key in a set, or renews the element, and counts the packet there. The rule ends here where the
   * set is full.
   */
  update(set: string, index: number): this {
    return this.#expression('dynset', (writer) => {
      writer.attributeU32Be(DynsetAttribute.SREG_KEY, register(index));
      writer.attributeU32Be(DynsetAttribute.OP, NFT_DYNSET_OP_UPDATE);
      writer.attributeText(DynsetAttribute.SET_NAME, set);
      writer.attributeU64Be(DynsetAttribute.TIMEOUT, 0n);
      const expression = writer.beginNest(DynsetAttribute.EXPR);
      writer.attributeText(EXPR_NAME, 'counter');
      const counter = writer.beginNest(EXPR_DATA);
      writer.attributeU64Be(CounterAttribute.BYTES, 0n);
      writer.attributeU64Be(CounterAttribute.PACKETS, 0n);
      writer.endNest(counter);
      writer.endNest(expression);
      writer.attributeU32Be(DynsetAttribute.FLAGS, 0);
    });
  }

  /** Loading it switches conntrack on in the network namespace. */
  ctDirectionReply(index: number): this {
    return this.#ct(NFT_CT_DIRECTION, index).compareEqual(index, Uint8Array.of(IP_CT_DIR_REPLY));
  }

  /** The connection goes elsewhere than its first packet said. Switches conntrack on as well. */
  ctStatusDnat(index: number): this {
    const masked = this.#ct(NFT_CT_STATUS, index).mask(index, Uint8Array.of(IPS_DST_NAT, 0, 0, 0));
    return masked.compareNotEqual(index, new Uint8Array(4));
  }

  /** The source is an address of this node. */
  sourceIsLocal(index: number): this {
    this.#expression('fib', (writer) => {
      writer.attributeU32Be(FibAttribute.DREG, register(index));
      writer.attributeU32Be(FibAttribute.RESULT, NFT_FIB_RESULT_ADDRTYPE);
      writer.attributeU32Be(FibAttribute.FLAGS, NFTA_FIB_F_SADDR);
    });
    return this.compareEqual(index, Uint8Array.of(RTN_LOCAL, 0, 0, 0));
  }

  /** A verdict of constants.ts; `chain` where it is a goto. */
  verdict(code: number, chain?: string): this {
    return this.#expression('immediate', (writer) => {
      writer.attributeU32Be(ImmediateAttribute.DREG, REG_VERDICT);
      const data = writer.beginNest(ImmediateAttribute.DATA);
      const verdict = writer.beginNest(DATA_VERDICT);
      writer.attributeU32Be(VerdictAttribute.CODE, code);
      if (chain !== undefined) writer.attributeText(VerdictAttribute.CHAIN, chain);
      writer.endNest(verdict);
      writer.endNest(data);
    });
  }

  #ct(key: number, index: number): this {
    return this.#expression('ct', (writer) => {
      writer.attributeU32Be(CtAttribute.DREG, register(index));
      writer.attributeU32Be(CtAttribute.KEY, key);
    });
  }

  #meta(key: number, index: number): this {
    return this.#expression('meta', (writer) => {
      writer.attributeU32Be(MetaAttribute.KEY, key);
      writer.attributeU32Be(MetaAttribute.DREG, register(index));
    });
  }

  #compare(index: number, operator: number, value: Uint8Array): this {
    return this.#expression('cmp', (writer) => {
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

  #expression(name: string, write: (writer: Writer) => void): this {
    const item = this.#writer.beginNest(LIST_ELEM);
    this.#writer.attributeText(EXPR_NAME, name);
    const data = this.#writer.beginNest(EXPR_DATA);
    write(this.#writer);
    this.#writer.endNest(data);
    this.#writer.endNest(item);
    return this;
  }
}

/** A rule that looks into other sets, whose names are as long as those it has. Throws NetlinkError. */
export function lookingInto(rule: Uint8Array, nameOf: (set: string) => string): Uint8Array {
  const other = rule.slice();
  for (const [, expression] of attributeList(other)) {
    const { name = '', set } = setIn(expression);
    if (set === undefined || (name !== 'lookup' && name !== 'dynset')) continue;
    const text = nameOf(textOf(set));
    for (let index = 0; index < text.length; index++) set[index] = text.charCodeAt(index);
  }
  return other;
}

/** Both expressions that look into a set have its name first. */
function setIn(expression: Uint8Array): { name?: string; set?: Uint8Array | undefined } {
  const attributes = attributesOf(expression);
  const name = attributes.get(EXPR_NAME);
  const data = attributes.get(EXPR_DATA);
  if (name === undefined || data === undefined) return {};
  return { name: textOf(name), set: attributesOf(data).get(LookupAttribute.SET) };
}
