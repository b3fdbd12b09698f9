// Parses a line of a watch or a page of a list. Pure; list-watch.ts and list-pages.ts are the only callers.

import { FieldError, type Mapping, mapping, sequence, textAt, wholeAt } from '../fields.ts';

/** An object with its identity; `key` is NAMESPACE/NAME, or NAME if it has no namespace. */
export interface ApiObject {
  readonly key: string;
  readonly resourceVersion: string;
  readonly object: Mapping;
}

export type WatchEvent =
  | ({ readonly kind: 'set' | 'remove' } & ApiObject)
  | { readonly kind: 'bookmark'; readonly resourceVersion: string }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

export interface ListPage {
  readonly items: readonly ApiObject[];
  readonly resourceVersion: string;
  /** The token for the next page, or null at the end of the list. */
  readonly next: string | null;
}

/** Parses one line. Throws FieldError or SyntaxError: the stream is then given up. */
export function parseWatchEvent(line: string): WatchEvent {
  const event = mapping(JSON.parse(line), 'event');
  const type = textAt(event['type'], 'type');
  const object = mapping(event['object'], 'object');
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { kind: 'set', ...apiObject(object, 'object') };
    case 'DELETED':
      return { kind: 'remove', ...apiObject(object, 'object') };
    case 'BOOKMARK':
      return { kind: 'bookmark', resourceVersion: versionOf(mapping(object['metadata'], 'metadata'), '') };
    case 'ERROR': {
      const { code, message } = object;
      return {
        kind: 'error',
        code: wholeAt(code ?? 500, 'object.code'),
        message: textAt(message ?? object['reason'] ?? '', 'object.message'),
      };
    }
    default:
      throw new FieldError('type', `expected a type of watch event, got ${JSON.stringify(type)}`);
  }
}

/** Parses a page of a list. Throws FieldError: a wrong page makes the list incomplete. */
export function parseListPage(value: unknown): ListPage {
  const list = mapping(value, 'list');
  const metadata = mapping(list['metadata'], 'metadata');
  const next = metadata['continue'];
  const items = list['items'];
  // An absent list of items must not read as an empty one.
  if (items !== null && !Array.isArray(items)) throw new FieldError('items', 'expected a list');
  return {
    items: sequence(items, 'items').map((item, index) => {
      const field = `items[${index}]`;
      return apiObject(mapping(item, field), field);
    }),
    resourceVersion: versionOf(metadata, ''),
    next: next === undefined || next === '' ? null : textAt(next, 'metadata.continue'),
  };
}

function apiObject(object: Mapping, field: string): ApiObject {
  const metadata = mapping(object['metadata'], `${field}.metadata`);
  const name = textAt(metadata['name'], `${field}.metadata.name`);
  const namespace = metadata['namespace'];
  const key = namespace === undefined ? name : `${textAt(namespace, `${field}.metadata.namespace`)}/${name}`;
  return { key, resourceVersion: versionOf(metadata, `${field}.`), object };
}

/** A resourceVersion is opaque: it is compared for equality only, and sent back unchanged. */
function versionOf(metadata: Mapping, at: string): string {
  const field = `${at}metadata.resourceVersion`;
  const version = textAt(metadata['resourceVersion'], field);
  if (version === '') throw new FieldError(field, 'expected a version, got nothing');
  return version;
}
