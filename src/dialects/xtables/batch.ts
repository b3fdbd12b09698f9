// Messages of ipset on their way into one or more sends, each remembered with the object it is about.

import type { MessageRecord, Step } from '../../netlink/ack.ts';
import type { Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes } from '../../state/address.ts';
import { Command } from './constants.ts';
import { command, createSet, element, swapSets } from './ipset.ts';
import type { ElementObject, SetObject, XtObject } from './objects.ts';

/** A send of more messages is cut, so that the answers to it fit the socket and nobody waits long. */
const mostMessages = 5000;

/** One serves all changes, one after another: that keeps the code compiled, as it does with nftables. */
export class Batch {
  #done: Step<XtObject>[] = [];
  readonly #writer: Writer;
  #records: MessageRecord<XtObject>[] = [];
  #sequence = 0;
  /** Where the second half begins, which is sent if the first draws no answer; 0 while there is one part. */
  #half = 0;
  #address: Address | undefined;
  #addressBytes: Uint8Array = new Uint8Array();

  /** Nothing else may be written by `writer` until the steps were taken. */
  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** Behind a cut nothing is sent unless everything before it was taken. */
  cut(): void {
    if (this.#records.length === 0) return;
    // A question, whose answer comes when everything before it was done.
    const barrier = ++this.#sequence;
    command(this.#writer, Command.PROTOCOL, { sequence: barrier });
    const bytes = this.#writer.take();
    const halved = this.#half > 0;
    const split = halved ? this.#half : bytes.length;
    this.#done.push({ bytes, split, halved, barrier, records: this.#records });
    this.#records = [];
    this.#sequence = 0;
    this.#half = 0;
  }

  /** The same within a step of few messages: to what is no question ipset answers nothing but errors. */
  halve(): void {
    this.#half = this.#writer.length;
  }

  /** All since the last were taken. */
  take(): readonly Step<XtObject>[] {
    this.cut();
    const steps = this.#done;
    this.#done = [];
    return steps;
  }

  create(set: SetObject, name: string = set.name): void {
    const { writer, sequence } = this.#next(set);
    createSet(writer, sequence, name, set);
  }

  destroy(set: SetObject, name: string = set.name): void {
    const { writer, sequence } = this.#next(set);
    command(writer, Command.DESTROY, { sequence, name });
  }

  swap(set: SetObject, other: string): void {
    const { writer, sequence } = this.#next(set);
    swapSets(writer, sequence, set.name, other);
  }

  /** An element goes into, or out of, its own set or one of another name. */
  element(type: number, object: ElementObject, set: string = object.set): void {
    const { writer, sequence } = this.#next(object);
    if (object.key.address !== this.#address) {
      this.#address = object.key.address;
      this.#addressBytes = addressBytes(object.key.address);
    }
    element(writer, type, sequence, { set, key: object.key, address: this.#addressBytes });
  }

  /** Where the next message goes, which is behind a cut if the send is full. */
  #next(object: XtObject): { writer: Writer; sequence: number } {
    if (this.#records.length === mostMessages) this.cut();
    const sequence = ++this.#sequence;
    this.#records.push({ sequence, objects: [object], first: 0, stride: 0 });
    return { writer: this.#writer, sequence };
  }
}
