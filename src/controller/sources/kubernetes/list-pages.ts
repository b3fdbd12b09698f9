// Reads a list of the API server in pages. If objects are so large that a page exceeds the limit of one
// answer, it makes the pages smaller.

import { AnswerTooLongError, type ApiClient } from './client.ts';
import { type ListPage, parseListPage } from './watch-event.ts';

export interface ListInput {
  readonly client: Pick<ApiClient, 'json'>;
  /** The path and query of a page. */
  readonly pathOf: (words: Readonly<Record<string, string>>) => string;
  /** Objects in a page, which is parsed in one go: this bounds its time and its memory. */
  readonly pageItems: number;
  readonly signal: AbortSignal;
}

/** Yields one page after the other. The last page has the version of the whole list. */
export async function* listPages({ client, pathOf, signal, ...more }: ListInput): AsyncGenerator<ListPage> {
  let { pageItems } = more;
  let next: string | null = null;
  for (;;) {
    const from = next === null ? {} : { continue: next };
    let page: ListPage;
    try {
      const path = pathOf({ limit: String(pageItems), ...from });
      page = parseListPage(await client.json({ path, signal }));
    } catch (error) {
      if (!(error instanceof AnswerTooLongError) || pageItems === 1) throw error;
      pageItems = Math.ceil(pageItems / 4);
      continue;
    }
    signal.throwIfAborted();
    yield page;
    if (page.next === null) return;
    next = page.next;
  }
}
