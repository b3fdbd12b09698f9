// The NAT table of the demo, like kube-proxy's: a DNAT for each forwarded port and for a NodePort, and
// masquerade. To the agent it is a foreign table; each change replaces it as a whole.

import { askGeneration } from '../../dialects/nftables/batch.ts';
import {
  ChainAttribute,
  HookAttribute,
  Message,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  PayloadBase,
  RuleAttribute,
  TableAttribute,
} from '../../dialects/nftables/constants.ts';
import { Rule } from '../../dialects/nftables/expressions.ts';
import type { Kernel } from '../../host/kernel.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST } from '../../netlink/message.ts';
import { beginBatch, endBatch, nfgenmsg } from '../../netlink/request.ts';
import { Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes, type Family, familyOf } from '../../state/address.ts';
import { protocolNumbers } from '../../state/port.ts';
import { commitStep } from './network.ts';

/** One port of a node address that is forwarded to the backend. */
export interface Forward {
  readonly address: Address;
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly to: Address;
  readonly toPort: number;
}

const table = 'kube-proxy';
const prerouting = { name: 'prerouting', hook: 0, priority: -100 };
const postrouting = { name: 'postrouting', hook: 4, priority: 100 };
const NFT_NAT_DNAT = 1;

/** Replaces the table of one family with these DNATs and a masquerade of packets to `backend`. */
export async function replaceNat(
  kernel: Kernel,
  backend: Address,
  forwards: readonly Forward[],
): Promise<void> {
  const batch = new NatBatch(familyOf(backend));
  batch.table(Message.NEWTABLE);
  batch.table(Message.DELTABLE);
  batch.table(Message.NEWTABLE);
  for (const chain of [prerouting, postrouting]) batch.chain(chain);
  for (const forward of forwards) batch.dnat(forward);
  batch.masquerade(backend);
  const step = batch.close();
  await commitStep(kernel, 'nfnetlink', { what: `table ${table} of IPv${familyOf(backend)}`, step });
}

class NatBatch {
  readonly #writer = new Writer(1024);
  readonly #family: Family;
  #sequence = 1;

  constructor(family: Family) {
    this.#family = family;
    beginBatch(this.#writer, this.#sequence);
  }

  table(type: number): void {
    this.#message(type, type === Message.NEWTABLE ? NLM_F_CREATE : 0, (writer) => {
      writer.attributeText(TableAttribute.NAME, table);
    });
  }

  chain({ name, hook, priority }: typeof prerouting): void {
    this.#message(Message.NEWCHAIN, NLM_F_CREATE, (writer) => {
      writer.attributeText(ChainAttribute.TABLE, table);
      writer.attributeText(ChainAttribute.NAME, name);
      const nest = writer.beginNest(ChainAttribute.HOOK);
      writer.attributeU32Be(HookAttribute.HOOKNUM, hook);
      writer.attributeU32Be(HookAttribute.PRIORITY, priority);
      writer.endNest(nest);
      writer.attributeText(ChainAttribute.TYPE, 'nat');
    });
  }

  dnat({ address, protocol, port, to, toPort }: Forward): void {
    const rule = this.#to(address)
      .metaL4proto(0)
      .compareEqual(0, Uint8Array.of(protocolNumbers[protocol]))
      .payload(PayloadBase.TRANSPORT_HEADER, 2, 2, 0)
      .compareEqual(0, portBytes(port))
      .value(0, addressBytes(to))
      .value(4, portBytes(toPort))
      .expression('nat', (writer) => {
        writer.attributeU32Be(1, NFT_NAT_DNAT);
        writer.attributeU32Be(2, this.#protocolFamily);
        writer.attributeU32Be(3, 1);
        writer.attributeU32Be(5, 2);
      });
    this.#rule(prerouting.name, rule);
  }

  masquerade(backend: Address): void {
    this.#rule(
      postrouting.name,
      this.#to(backend).expression('masq', () => undefined),
    );
  }

  close() {
    endBatch(this.#writer, ++this.#sequence);
    const split = this.#writer.length;
    const barrier = ++this.#sequence;
    askGeneration(this.#writer, barrier);
    return { bytes: this.#writer.bytes.slice(), split, barrier, records: [] };
  }

  get #protocolFamily(): number {
    return this.#family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  }

  /** Matches a destination. */
  #to(address: Address): Rule {
    const [offset, length] = this.#family === 4 ? [16, 4] : [24, 16];
    return new Rule()
      .payload(PayloadBase.NETWORK_HEADER, offset, length, 0)
      .compareEqual(0, addressBytes(address));
  }

  #rule(chain: string, rule: Rule): void {
    this.#message(Message.NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (writer) => {
      writer.attributeText(RuleAttribute.TABLE, table);
      writer.attributeText(RuleAttribute.CHAIN, chain);
      const nest = writer.beginNest(RuleAttribute.EXPRESSIONS);
      writer.raw(rule.bytes);
      writer.endNest(nest);
    });
  }

  #message(type: number, flags: number, body: (writer: Writer) => void): void {
    const place = this.#writer.beginMessage(type, NLM_F_REQUEST | flags, ++this.#sequence);
    nfgenmsg(this.#writer, this.#protocolFamily);
    body(this.#writer);
    this.#writer.endMessage(place);
  }
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}
