// A list of the API server, page after page. Whoever may write objects may make them so large that a usual
// page of them is more than is read in one piece: then the pages are smaller.

import { AnswerTooLongError, type ApiClient } from './client.ts';
import { type ListPage, parseListPage } from './watch-event.ts';

export interface ListInput {
  readonly client: Pick<ApiClient, 'json'>;
  /** The path and query of a page. */
  readonly pathOf: (words: Readonly<Record<string, string>>) => string;
  /** Objects in a page: a page is parsed in one go, and this bounds both its time and its memory. */
  readonly pageItems: number;
  readonly signal: AbortSignal;
}

/** Reads one page after the other. What it yields last has the version of the whole list. */
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
