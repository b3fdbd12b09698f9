// Rule expressions in canonical form: byte for byte as the kernel dumps them, so that `have` and `want`
// compare as bytes.

import { attributeList, attributesOf, textOf } from '../../netlink/reader.ts';
import { Writer } from '../../netlink/writer.ts';
import { CounterAttribute, DATA_VALUE, DATA_VERDICT, EXPR_DATA, EXPR_NAME, LIST_ELEM } from './constants.ts';

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
    return this.#meta(15, index);
  }

  metaL4proto(index: number): this {
    return this.#meta(16, index);
  }

  metaIif(index: number): this {
    return this.#meta(4, index);
  }

  /** `base` is 1 for the network header and 2 for the transport header. */
  payload(base: 1 | 2, offset: number, length: number, index: number): this {
    return this.#expression('payload', (writer) => {
      writer.attributeU32Be(1, register(index));
      writer.attributeU32Be(2, base);
      writer.attributeU32Be(3, offset);
      writer.attributeU32Be(4, length);
    });
  }

  /** A field of an IPv6 extension header; the rule ends here if the packet has none of that type. */
  extensionHeader(type: number, offset: number, length: number, index: number): this {
    return this.#expression('exthdr', (writer) => {
      writer.attributeU32Be(1, register(index));
      writer.attributeU8(2, type);
      writer.attributeU32Be(3, offset);
      writer.attributeU32Be(4, length);
      writer.attributeU32Be(5, 0);
      writer.attributeU32Be(6, 0);
    });
  }

  compareEqual(index: number, value: Uint8Array): this {
    return this.#compare(index, 0, value);
  }

  compareNotEqual(index: number, value: Uint8Array): this {
    return this.#compare(index, 1, value);
  }

  /** Masks in place. */
  mask(index: number, mask: Uint8Array): this {
    return this.#expression('bitwise', (writer) => {
      writer.attributeU32Be(1, register(index));
      writer.attributeU32Be(2, register(index));
      writer.attributeU32Be(3, mask.length);
      writer.attributeU32Be(6, 0);
      this.#data(4, mask);
      this.#data(5, new Uint8Array(mask.length));
    });
  }

  lookup(set: string, index: number): this {
    return this.#expression('lookup', (writer) => {
      writer.attributeText(1, set);
      writer.attributeU32Be(2, register(index));
      writer.attributeU32Be(5, 0);
    });
  }

  /** A value in place of a field of the packet. */
  value(index: number, value: Uint8Array): this {
    return this.#expression('immediate', (writer) => {
      writer.attributeU32Be(1, register(index));
      this.#data(2, value);
    });
  }

  /**
   * NFT_DYNSET_OP_UPDATE: puts the key in a set, or renews the element, and counts the packet there. The rule
   * ends here where the set is full.
   */
  update(set: string, index: number): this {
    return this.#expression('dynset', (writer) => {
      writer.attributeU32Be(4, register(index));
      writer.attributeU32Be(3, 1);
      writer.attributeText(1, set);
      writer.attributeU64Be(6, 0n);
      const expression = writer.beginNest(7);
      writer.attributeText(EXPR_NAME, 'counter');
      const counter = writer.beginNest(EXPR_DATA);
      writer.attributeU64Be(CounterAttribute.BYTES, 0n);
      writer.attributeU64Be(CounterAttribute.PACKETS, 0n);
      writer.endNest(counter);
      writer.endNest(expression);
      writer.attributeU32Be(9, 0);
    });
  }

  /**
   * NFT_CT_DIRECTION is 1; IP_CT_DIR_REPLY is 1. Loading it switches conntrack on in the network namespace.
   */
  ctDirectionReply(index: number): this {
    this.#expression('ct', (writer) => {
      writer.attributeU32Be(1, register(index));
      writer.attributeU32Be(2, 1);
    });
    return this.compareEqual(index, Uint8Array.of(1));
  }

  /** A verdict of constants.ts; `chain` where it is a goto. */
  verdict(code: number, chain?: string): this {
    return this.#expression('immediate', (writer) => {
      writer.attributeU32Be(1, 0);
      const data = writer.beginNest(2);
      const verdict = writer.beginNest(DATA_VERDICT);
      writer.attributeU32Be(1, code);
      if (chain !== undefined) writer.attributeText(2, chain);
      writer.endNest(verdict);
      writer.endNest(data);
    });
  }

  #meta(key: number, index: number): this {
    return this.#expression('meta', (writer) => {
      writer.attributeU32Be(2, key);
      writer.attributeU32Be(1, register(index));
    });
  }

  #compare(index: number, operator: number, value: Uint8Array): this {
    return this.#expression('cmp', (writer) => {
      writer.attributeU32Be(1, register(index));
      writer.attributeU32Be(2, operator);
      this.#data(3, value);
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
  return { name: textOf(name), set: attributesOf(data).get(1) };
}
