// Probes the abilities of this kernel's nf_tables with a batch that has no end message: the kernel validates
// every message and commits none.

import type { Receipt, Refused, Step } from '../../netlink/ack.ts';
import { Errno, NLM_F_CREATE, NLM_F_REQUEST } from '../../netlink/message.ts';
import { beginBatch, nfgenmsg } from '../../netlink/request.ts';
import { Writer } from '../../netlink/writer.ts';
import { askGeneration } from './batch.ts';
import {
  ChainAttribute,
  EXPR_DATA,
  EXPR_NAME,
  KeyType,
  Message,
  NFPROTO_INET,
  NFT_SET_EXPR,
  NFT_TABLE_F_OWNER,
  NFT_TABLE_F_PERSIST,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from './constants.ts';
import { Rule } from './expressions.ts';
import { fromHere } from './local.ts';

const questions = ['nf_tables', 'table flags owner and persist', 'set flag expr', 'expression fib'] as const;
type Question = (typeof questions)[number];

export interface Capabilities {
  /** The errno with which nf_tables refuses every message; 0 where it works. */
  readonly refusal: number;
  readonly ownerAndPersist: boolean;
  readonly setExpressionFlag: boolean;
  /** A rule can test whether an address belongs to this node. */
  readonly localAddresses: boolean;
}

export function probeStep(): Step<Question> {
  const writer = new Writer(512);
  let sequence = 1;
  beginBatch(writer, sequence);
  const create = (type: number, body: () => void): void => {
    const place = writer.beginMessage(type, NLM_F_REQUEST | NLM_F_CREATE, ++sequence);
    nfgenmsg(writer, NFPROTO_INET);
    body();
    writer.endMessage(place);
  };
  create(Message.NEWTABLE, () => tableBody(writer, table, 0));
  const ownerFlags = NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST;
  create(Message.NEWTABLE, () => tableBody(writer, `${table}-owner`, ownerFlags));
  create(Message.NEWSET, () => countingSetBody(writer));
  create(Message.NEWCHAIN, () => {
    writer.attributeText(ChainAttribute.TABLE, table);
    writer.attributeText(ChainAttribute.NAME, 'probe');
  });
  create(Message.NEWRULE, () => ruleBody(writer));
  const split = writer.length;
  const barrier = ++sequence;
  askGeneration(writer, barrier);
  // The chain exists only for the rule; its refusal counts as the rule's.
  const records = [...questions, 'expression fib' as const].map((question, index) => ({
    sequence: index + 2,
    objects: [question],
    first: 0,
    stride: 0,
  }));
  return { bytes: writer.bytes.slice(), split, barrier, records };
}

export function readCapabilities(receipt: Receipt<Question>): Capabilities {
  const refused = (question: Question | null) => receipt.find(({ object }) => object === question);
  return {
    refusal: (refused('nf_tables') ?? refused(null))?.errno ?? 0,
    ownerAndPersist: refused('table flags owner and persist') === undefined,
    setExpressionFlag: refused('set flag expr') === undefined,
    localAddresses: refused('expression fib') === undefined,
  };
}

/** The errnos by which a kernel says that it lacks a feature or denies it to us. */
const answers: ReadonlySet<number> = new Set([
  Errno.EPERM,
  Errno.ENOENT,
  Errno.EINVAL,
  Errno.EPROTONOSUPPORT,
  Errno.EOPNOTSUPP,
  Errno.EAFNOSUPPORT,
]);

/** The refusal that kept the kernel from validating the batch, so that its abilities stay unknown. */
export function disturbanceOf(receipt: Receipt<Question>): Refused<Question> | undefined {
  return receipt.find(({ errno }) => !answers.has(errno));
}

const table = 'vipward-probe';

function tableBody(writer: Writer, name: string, flags: number): void {
  writer.attributeText(TableAttribute.NAME, name);
  writer.attributeU32Be(TableAttribute.FLAGS, flags);
}

function countingSetBody(writer: Writer): void {
  writer.attributeText(SetAttribute.TABLE, table);
  writer.attributeText(SetAttribute.NAME, 'probe');
  writer.attributeU32Be(SetAttribute.FLAGS, NFT_SET_EXPR);
  writer.attributeU32Be(SetAttribute.KEY_TYPE, KeyType.address4);
  writer.attributeU32Be(SetAttribute.KEY_LEN, 4);
  writer.attributeU32Be(SetAttribute.ID, 1);
  const expression = writer.beginNest(SetAttribute.EXPR);
  writer.attributeText(EXPR_NAME, 'counter');
  writer.endNest(writer.beginNest(EXPR_DATA));
  writer.endNest(expression);
}

function ruleBody(writer: Writer): void {
  writer.attributeText(RuleAttribute.TABLE, table);
  writer.attributeText(RuleAttribute.CHAIN, 'probe');
  const expressions = writer.beginNest(RuleAttribute.EXPRESSIONS);
  writer.raw(fromHere(new Rule()).bytes);
  writer.endNest(expressions);
}
