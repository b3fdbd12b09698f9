// What a message with elements of one set is about.

import type { MessageRecord } from '../../netlink/ack.ts';
import type { ElementObject } from './objects.ts';

interface List {
  readonly sequence: number;
  readonly first: number;
  readonly stride: number;
  /** The message is about those of one set from the index `from` to `end`. */
  readonly elements: readonly ElementObject[];
  readonly from: number;
  readonly end: number;
}

/** The elements of one message. Only an error asks for them, so the list is made when it is read. */
export class ListRecord implements MessageRecord<ElementObject> {
  readonly sequence: number;
  readonly first: number;
  readonly stride: number;
  readonly #elements: readonly ElementObject[];
  readonly #from: number;
  readonly #end: number;

  constructor({ sequence, first, stride, elements, from, end }: List) {
    this.sequence = sequence;
    this.first = first;
    this.stride = stride;
    this.#elements = elements;
    this.#from = from;
    this.#end = end;
  }

  get objects(): readonly ElementObject[] {
    const set = this.#elements[this.#from]?.set;
    return this.#elements.slice(this.#from, this.#end).filter((element) => element.set === set);
  }
}

/** The index of the next element of a set; the length if there is none. */
export function nextOf(set: string, elements: readonly ElementObject[], from: number): number {
  let index = from;
  while (index < elements.length && elements[index]?.set !== set) index++;
  return index;
}
