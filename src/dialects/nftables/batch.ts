// One nf_tables batch under construction. It records which objects each message is about.

import type { MessageRecord, Step } from '../../netlink/ack.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_NONREC, NLM_F_REQUEST } from '../../netlink/message.ts';
import { beginBatch, endBatch, nfgenmsg } from '../../netlink/request.ts';
import type { Writer } from '../../netlink/writer.ts';

import {
  ChainAttribute,
  DATA_VALUE,
  DescAttribute,
  ElementAttribute,
  ElementListAttribute,
  EXPR_DATA,
  EXPR_NAME,
  HookAttribute,
  LIST_ELEM,
  layout,
  Message,
  NF_ACCEPT,
  NFPROTO_INET,
  NFT_SET_EXPR,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
  tableName,
} from './constants.ts';
import { ListRecord, nextOf } from './list-record.ts';
import {
  type ChainObject,
  type ElementObject,
  type NftObject,
  type SetObject,
  setFlags,
  type TableObject,
} from './objects.ts';

/** An attribute's length has 16 bits, so a list of elements is closed before it reaches that limit. */
const listLimitBytes = 64_000;

/** The kernel abilities that decide how a set is declared. */
export interface SetOptions {
  /** The kernel knows NFT_SET_EXPR. Without it (5.10) only the attribute declares the counter of a set. */
  readonly setExpressionFlag: boolean;
}

/**
 * One instance serves all batches, one after another. If V8 collects garbage while no instance of a class is
 * alive, it forgets the shape of the class and discards all code optimized for it.
 */
export class Batch {
  readonly #writer: Writer;
  #records: MessageRecord<NftObject>[] = [];
  #sequence = 0;
  /** The sets of the elements that are being written. */
  readonly #sets: string[] = [];

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** The caller writes nothing else to the writer until it closes the batch. */
  open(): void {
    this.#records = [];
    this.#sequence = 1;
    beginBatch(this.#writer, this.#sequence);
  }

  /** Ends the batch and adds the barrier. */
  close(): Step<NftObject> {
    const writer = this.#writer;
    endBatch(writer, ++this.#sequence);
    const split = writer.length;
    const barrier = ++this.#sequence;
    askGeneration(writer, barrier);
    return { bytes: writer.take(), split, barrier, records: this.#records };
  }

  newTable(table: TableObject): void {
    this.#message(Message.NEWTABLE, NLM_F_CREATE, table, () => {
      this.#writer.attributeText(TableAttribute.NAME, tableName);
      this.#writer.attributeU32Be(TableAttribute.FLAGS, table.flags);
      this.#writer.attributeBytes(TableAttribute.USERDATA, layoutComment());
    });
  }

  deleteTable(table: TableObject): void {
    this.#message(Message.DELTABLE, 0, table, () =>
      this.#writer.attributeText(TableAttribute.NAME, tableName),
    );
  }

  newSet(set: SetObject, options: SetOptions): void {
    const writer = this.#writer;
    this.#message(Message.NEWSET, NLM_F_CREATE, set, () => {
      writer.attributeText(SetAttribute.TABLE, tableName);
      writer.attributeText(SetAttribute.NAME, set.name);
      const counts = set.counter && options.setExpressionFlag ? NFT_SET_EXPR : 0;
      writer.attributeU32Be(SetAttribute.FLAGS, counts | setFlags(set));
      writer.attributeU32Be(SetAttribute.KEY_TYPE, set.keyType);
      writer.attributeU32Be(SetAttribute.KEY_LEN, set.keyLengthBytes);
      writer.attributeU32Be(SetAttribute.ID, this.#sequence);
      const description = writer.beginNest(SetAttribute.DESC);
      writer.attributeU32Be(DescAttribute.SIZE, set.size);
      writer.endNest(description);
      if (set.timeoutMs > 0) writer.attributeU64Be(SetAttribute.TIMEOUT, BigInt(set.timeoutMs));
      if (set.counter) this.#counter(SetAttribute.EXPR);
    });
  }

  deleteSet(set: SetObject): void {
    this.#message(Message.DELSET, 0, set, () => {
      this.#writer.attributeText(SetAttribute.TABLE, tableName);
      this.#writer.attributeText(SetAttribute.NAME, set.name);
    });
  }

  newChain(chain: ChainObject): void {
    const writer = this.#writer;
    this.#message(Message.NEWCHAIN, NLM_F_CREATE, chain, () => {
      writer.attributeText(ChainAttribute.TABLE, tableName);
      writer.attributeText(ChainAttribute.NAME, chain.name);
      if (chain.hook === null) return;
      const hook = writer.beginNest(ChainAttribute.HOOK);
      writer.attributeU32Be(HookAttribute.HOOKNUM, chain.hook.number);
      writer.attributeU32Be(HookAttribute.PRIORITY, chain.hook.priority);
      writer.endNest(hook);
      writer.attributeU32Be(ChainAttribute.POLICY, NF_ACCEPT);
      writer.attributeText(ChainAttribute.TYPE, 'filter');
    });
  }

  /** A DELRULE without a rule handle deletes all rules of the chain. */
  flushChain(chain: ChainObject): void {
    this.#message(Message.DELRULE, 0, chain, () => {
      this.#writer.attributeText(RuleAttribute.TABLE, tableName);
      this.#writer.attributeText(RuleAttribute.CHAIN, chain.name);
    });
  }

  deleteChain(chain: ChainObject): void {
    this.#message(Message.DELCHAIN, NLM_F_NONREC, chain, () => {
      this.#writer.attributeText(ChainAttribute.TABLE, tableName);
      this.#writer.attributeText(ChainAttribute.NAME, chain.name);
    });
  }

  newRule(chain: ChainObject, rule: Uint8Array): void {
    const writer = this.#writer;
    this.#message(Message.NEWRULE, NLM_F_CREATE | NLM_F_APPEND, chain, () => {
      writer.attributeText(RuleAttribute.TABLE, tableName);
      writer.attributeText(RuleAttribute.CHAIN, chain.name);
      const expressions = writer.beginNest(RuleAttribute.EXPRESSIONS);
      writer.raw(rule);
      writer.endNest(expressions);
    });
  }

  /**
   * One message per set, or several if the list grows too long. `nameOf` maps a set to the set that gets its
   * elements instead.
   */
  elements(
    type: number,
    elements: readonly ElementObject[],
    nameOf: (set: string) => string = ownName,
  ): void {
    const sets = this.#sets;
    sets.length = 0;
    for (const { set } of elements) if (!sets.includes(set)) sets.push(set);
    for (const set of sets) {
      let from = nextOf(set, elements, 0);
      while (from < elements.length) from = this.#elementList(type, nameOf(set), elements, from);
    }
  }

  /** The elements of one set, beginning with the one at `from`. Returns where the next message begins. */
  #elementList(type: number, name: string, elements: readonly ElementObject[], from: number): number {
    const writer = this.#writer;
    const before = writer.length;
    const message = this.#openMessage(type, type === Message.NEWSETELEM ? NLM_F_CREATE : 0);
    writer.attributeText(ElementListAttribute.TABLE, tableName);
    writer.attributeText(ElementListAttribute.SET, name);
    const list = writer.beginNest(ElementListAttribute.ELEMENTS);
    const first = writer.length - before;
    const set = elements[from]?.set ?? '';
    const stride = 12 + (((elements[from]?.key.length ?? 0) + 3) & ~3);
    let left = Math.floor(listLimitBytes / stride);
    let end = from;
    for (; end < elements.length && left > 0; end = nextOf(set, elements, end + 1)) {
      const item = writer.beginNest(LIST_ELEM);
      const key = writer.beginNest(ElementAttribute.KEY);
      writer.attributeLatin1(DATA_VALUE, elements[end]?.key ?? '');
      writer.endNest(key);
      writer.endNest(item);
      left--;
    }
    writer.endNest(list);
    writer.endMessage(message);
    this.#records.push(new ListRecord({ sequence: this.#sequence, first, stride, elements, from, end }));
    return end;
  }

  #message(type: number, flags: number, object: NftObject, body: () => void): void {
    const message = this.#openMessage(type, flags);
    body();
    this.#writer.endMessage(message);
    this.#records.push({ sequence: this.#sequence, objects: [object], first: 0, stride: 0 });
  }

  #openMessage(type: number, flags: number): number {
    const message = this.#writer.beginMessage(type, NLM_F_REQUEST | flags, ++this.#sequence);
    nfgenmsg(this.#writer, NFPROTO_INET);
    return message;
  }

  #counter(type: number): void {
    const expression = this.#writer.beginNest(type);
    this.#writer.attributeText(EXPR_NAME, 'counter');
    this.#writer.endNest(this.#writer.beginNest(EXPR_DATA));
    this.#writer.endNest(expression);
  }
}

function ownName(set: string): string {
  return set;
}

/** A request that the kernel answers after all errors of the batch before it. */
export function askGeneration(writer: Writer, sequence: number): void {
  const place = writer.beginMessage(Message.GETGEN, NLM_F_REQUEST, sequence);
  nfgenmsg(writer, 0);
  writer.endMessage(place);
}

/** A comment in nft's format: type 0, length, zero-terminated text. It carries the layout number. */
function layoutComment(): Uint8Array {
  const text = new TextEncoder().encode(`vipward layout ${layout}\0`);
  return Uint8Array.of(0, text.length, ...text);
}
