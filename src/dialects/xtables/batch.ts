// ipset messages in one or more sends under construction. It records which object each message is about.

import type { Step } from '../../netlink/ack.ts';
import type { Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes } from '../../state/address.ts';
import { Command } from './constants.ts';
import { command, createSet, element, swapSets } from './ipset.ts';
import type { ElementObject, SetObject, XtObject } from './objects.ts';

/** A longer send is cut, so that its answers fit the socket buffer and the socket is soon free again. */
const mostMessages = 5000;

/** One instance serves all changes, one after another, to keep its code compiled (see nftables/batch.ts). */
export class Batch {
  #done: Step<XtObject>[] = [];
  readonly #writer: Writer;
  /** What the messages of the current step are about; message number n about object n - 1. */
  #objects: XtObject[] = [];
  /** The offset of the second half, which is sent only if the first draws no error; 0 if there is none. */
  #half = 0;
  #address: Address | undefined;
  #addressBytes: Uint8Array = new Uint8Array();
  readonly #room = new Uint8Array(4);

  /** The caller writes nothing else to `writer` until it takes the steps. */
  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** Ends the current step. The next step is sent only if every message of this one was accepted. */
  cut(): void {
    const objects = this.#objects;
    if (objects.length === 0) return;
    // A request that the kernel answers after it has processed all messages before it.
    const barrier = objects.length + 1;
    command(this.#writer, Command.PROTOCOL, { sequence: barrier });
    const bytes = this.#writer.take();
    const halved = this.#half > 0;
    const split = halved ? this.#half : bytes.length;
    const records = [{ sequence: 1, objects, first: 0, stride: 0 }];
    this.#done.push({ bytes, split, halved, barrier, records });
    this.#objects = [];
    this.#half = 0;
  }

  /** Like cut(), within a step of few messages: ipset answers a change only with errors. */
  halve(): void {
    this.#half = this.#writer.length;
  }

  /** The steps since the last take(). */
  take(): readonly Step<XtObject>[] {
    this.cut();
    const steps = this.#done;
    this.#done = [];
    return steps;
  }

  create(set: SetObject, name: string = set.name): void {
    createSet(this.#writer, this.#next(set), name, set);
  }

  destroy(set: SetObject, name: string = set.name): void {
    command(this.#writer, Command.DESTROY, { sequence: this.#next(set), name });
  }

  swap(set: SetObject, other: string): void {
    swapSets(this.#writer, this.#next(set), set.name, other);
  }

  /** Adds an element to, or deletes it from, its own set or the set of the given name. */
  element(type: number, object: ElementObject, set: string = object.set): void {
    const sequence = this.#next(object);
    if (object.key.address !== this.#address) {
      this.#address = object.key.address;
      this.#addressBytes = addressBytes(object.key.address, this.#room);
    }
    element(this.#writer, type, sequence, { set, key: object.key, address: this.#addressBytes });
  }

  /** The sequence number of the next message, in a new step if this one is full. */
  #next(object: XtObject): number {
    if (this.#objects.length === mostMessages) this.cut();
    return this.#objects.push(object);
  }
}
