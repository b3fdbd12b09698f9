// The pages of a snapshot, made one at a time as a stream takes them and shared by all agents that need them.

import { pageServices, type TableName } from '../../protocol/messages.ts';
import { frameOf } from './frame.ts';

export interface PageItem {
  readonly json: string;
  readonly bucket: number;
  readonly services: number;
}

export interface PagesInput {
  readonly table: TableName;
  readonly seq: number;
  readonly buckets: readonly number[];
  readonly items: readonly PageItem[];
}

const pageTargetBytes = 1024 * 1024;

/** A snapshot of some buckets at version `seq`; later changes of the table do not alter it. */
export class Pages {
  readonly seq: number;
  readonly #buckets: string;
  readonly #made: Buffer[] = [];
  readonly #rest: Generator<Buffer, void>;

  constructor({ table, seq, buckets, items }: PagesInput) {
    this.seq = seq;
    this.#buckets = buckets.join(',');
    this.#rest = pagesOf(table, buckets, items);
  }

  isOf(buckets: readonly number[]): boolean {
    return buckets.join(',') === this.#buckets;
  }

  /** The page at this index; undefined after the last. */
  page(index: number): Buffer | undefined {
    while (this.#made.length <= index) {
      const next = this.#rest.next();
      if (next.value === undefined) return undefined;
      this.#made.push(next.value);
    }
    return this.#made[index];
  }
}

/** A bucket that does not fit into a page continues in the next page, which names it again. */
function* pagesOf(
  table: TableName,
  buckets: readonly number[],
  items: readonly PageItem[],
): Generator<Buffer, void> {
  const byBucket = new Map<number, PageItem[]>(buckets.map((bucket) => [bucket, []]));
  for (const item of items) byBucket.get(item.bucket)?.push(item);
  let named: number[] = [];
  let set: string[] = [];
  let services = 0;
  let bytes = 0;
  const flush = () => {
    const what = `"buckets":[${named}],"set":[${set.join(',')}]`;
    [named, set, services, bytes] = [[], [], 0, 0];
    return frameOf(`{"type":"page","table":"${table}",${what}}`);
  };
  for (const [bucket, content] of byBucket) {
    named.push(bucket);
    for (const item of content) {
      if (
        set.length > 0 &&
        (services + item.services > pageServices || bytes + item.json.length > pageTargetBytes)
      ) {
        yield flush();
        named.push(bucket);
      }
      set.push(item.json);
      services += item.services;
      bytes += item.json.length;
    }
  }
  if (named.length > 0) yield flush();
}
