// Parses the documents of a manifest file, each once: if one of 50,000 Services changes, one document is
// parsed. files.ts keeps a cache for each file.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Document, isMap, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';
import { messageOf } from '../../process/message-of.ts';
import { FieldError } from './fields.ts';
import { type DocumentFacts, readDocument } from './manifest.ts';

/** The largest file that is read. */
export const fileLimitBytes: number = 16 * 1024 * 1024;

/** The largest YAML document: it is parsed in one go, a megabyte in some seconds, while agents wait. */
export const documentLimitBytes: number = 512 * 1024;

/**
 * How long documents are parsed before the event loop has its turn: a heartbeat must not wait for a large
 * file.
 */
const sliceMs = 8;

/** A file that cannot be read as manifests. `document` is null if it is unknown which document is wrong. */
export class DocumentError extends Error {
  readonly code = 'BadDocument';
  readonly document: number | null;

  constructor(document: number | null, message: string) {
    super(message);
    this.document = document;
  }
}

/** Documents by their text, from the reading before. */
export type DocumentCache = ReadonlyMap<string, DocumentFacts>;

export interface ParsedFile {
  readonly documents: readonly DocumentFacts[];
  readonly cache: DocumentCache;
}

/** Parses the documents that are not in the cache. Throws DocumentError: the whole file is then rejected. */
export async function parseFile(text: string, isJson: boolean, cache: DocumentCache): Promise<ParsedFile> {
  const parts = isJson ? [text] : splitDocuments(text);
  const documents: DocumentFacts[] = [];
  const parsed = new Map<string, DocumentFacts>();
  let startedMs = performance.now();
  for (const part of parts) {
    let facts = parsed.get(part) ?? cache.get(part);
    if (facts === undefined) {
      const index = documents.length;
      const linesBefore = () => linesBeforeLast(parts.slice(index), text);
      facts = parsePart(part, isJson, { index, linesBefore });
      if (performance.now() - startedMs > sliceMs) {
        await nextTurn();
        startedMs = performance.now();
      }
    }
    parsed.set(part, facts);
    documents.push(facts);
  }
  return { documents, cache: parsed };
}

/**
 * `---` at the start of a line separates documents, even inside a block of text (YAML 1.2, 9.1.2), so the
 * text is cut there. A text with directives or `...` stays one part.
 */
export function splitDocuments(text: string): string[] {
  if (/^(%|\.\.\.(\s|$))/m.test(text)) return [text];
  const parts = text.split(/^---(?=\s|$)/m);
  // Text before the first marker is a document only if it is more than comments.
  if (parts.length > 1 && /^\s*(#.*\s*)*$/.test(parts[0] ?? '')) parts.shift();
  return parts;
}

/** The number of lines of the text before its last parts. */
function linesBeforeLast(parts: readonly string[], text: string): number {
  const length = parts.join('---').length;
  return text.slice(0, text.length - length).split('\n').length - 1;
}

/** Where a document is in its file; the lines before it are counted only for an error. */
interface Place {
  readonly index: number;
  readonly linesBefore: () => number;
}

function parsePart(part: string, isJson: boolean, place: Place): DocumentFacts {
  try {
    const facts = (isJson ? [JSON.parse(part) as unknown] : yamlValues(part, place)).map((value) =>
      readDocument(value),
    );
    if (facts.length === 1 && facts[0] !== undefined) return facts[0];
    return {
      services: facts.flatMap(({ services }) => services),
      invalid: facts.flatMap(({ invalid }) => invalid),
      ignored: facts.flatMap(({ ignored }) => ignored),
    };
  } catch (error) {
    if (error instanceof FieldError) throw new DocumentError(place.index, error.message);
    if (error instanceof SyntaxError) throw new DocumentError(null, `not JSON: ${error.message}`);
    throw error;
  }
}

function yamlValues(part: string, { index, linesBefore }: Place): unknown[] {
  const lengthBytes = Buffer.byteLength(part);
  if (lengthBytes > documentLimitBytes) {
    const most = `at most ${documentLimitBytes} are allowed in one YAML document`;
    throw new DocumentError(index, `${lengthBytes} bytes; ${most}: split it by ---, or write it as .json`);
  }
  const lineCounter = new LineCounter();
  // The parser's own check (uniqueKeys) compares each key with all other keys of its mapping.
  const options = { prettyErrors: false, logLevel: 'error', uniqueKeys: false, lineCounter } as const;
  const placeOf = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `at line ${linesBefore() + line}, column ${col}`;
  };
  const documents = parseAllDocuments(part, options);
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const error = document.errors[0];
    if (error !== undefined)
      throw new DocumentError(index, `not YAML: ${error.message.split('\n')[0]} ${placeOf(error.pos[0])}`);
    try {
      checkKeys(document, placeOf);
      return document.toJS({ maxAliasCount: 100 }) as unknown;
    } catch (cause) {
      throw new DocumentError(index, `not YAML: ${messageOf(cause)}`);
    }
  });
}

/** Throws SyntaxError for a mapping that has a key twice. */
function checkKeys(document: Document, placeOf: (offset: number) => string): void {
  visit(document, (_, node) => {
    if (!isMap(node)) return;
    const known = new Set<unknown>();
    for (const { key } of node.items) {
      if (!isScalar(key)) continue;
      if (known.has(key.value)) {
        const place = placeOf(key.range?.[0] ?? 0);
        throw new SyntaxError(`the key ${JSON.stringify(key.value)} is twice in a mapping, ${place}`);
      }
      known.add(key.value);
    }
  });
}
