// Renders a parsed template as Helm does, for the few functions that the chart uses. Pure: values and files
// in, text out.

import { stringify } from 'yaml';
import type { Expression } from './expression.ts';
import { type Piece, parseTemplate, TemplateError } from './template.ts';

/** The inputs of a template: `.Values` and the other roots, without their dots. */
export interface Scope {
  readonly roots: Readonly<Record<string, unknown>>;
  /** Reads a file for `.Files.Get`; undefined if there is none. */
  readonly file: (path: string) => string | undefined;
}

/** The text of a template. Throws TemplateError with the line that cannot be rendered. */
export function renderTemplate(text: string, { roots, file }: Scope): string {
  const variables = new Map(Object.entries(roots).map(([name, value]) => [`.${name}`, value]));
  return renderPieces(parseTemplate(text), { variables, file });
}

interface Names {
  readonly variables: ReadonlyMap<string, unknown>;
  readonly file: Scope['file'];
}

function renderPieces(pieces: readonly Piece[], names: Names): string {
  return pieces.map((piece) => renderPiece(piece, names)).join('');
}

function renderPiece(piece: Piece, names: Names): string {
  switch (piece.kind) {
    case 'text':
      return piece.text;
    case 'value':
      return textOf(valueAt(piece.line, piece.value, names));
    case 'if': {
      const holds = isTrue(valueAt(piece.line, piece.condition, names));
      return renderPieces(holds ? piece.body : piece.otherwise, names);
    }
    case 'range':
      return entriesOf(valueAt(piece.line, piece.over, names))
        .map((entry) => {
          const given = piece.names.map(
            (name, index) => [name, entry.at(index - piece.names.length)] as const,
          );
          return renderPieces(piece.body, { ...names, variables: new Map([...names.variables, ...given]) });
        })
        .join('');
    default:
      return piece satisfies never;
  }
}

function valueAt(line: number, expression: Expression, names: Names): unknown {
  try {
    return evaluate(expression, names);
  } catch (error) {
    if (error instanceof TemplateError) throw error;
    throw new TemplateError(line, (error as Error).message);
  }
}

function evaluate(expression: Expression, names: Names): unknown {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'path': {
      const { root, keys } = expression;
      if (!names.variables.has(root)) throw new Error(`${root} is not defined here`);
      return keys.reduce(fieldOf, names.variables.get(root));
    }
    case 'call': {
      const args = expression.args.map((arg) => evaluate(arg, names));
      if (expression.name === '.Files.Get') return names.file(String(args[0])) ?? '';
      const call = functions[expression.name];
      if (call === undefined)
        throw new Error(
          `function ${expression.name} is not supported: use one of ${Object.keys(functions).join(', ')}`,
        );
      return call(...args);
    }
    default:
      return expression satisfies never;
  }
}

/** The functions of the chart; a piped value is the last argument. */
const functions: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  quote: (value) => (value === undefined || value === null ? '' : JSON.stringify(textOf(value))),
  default: (fallback, value) => (isTrue(value) ? value : fallback),
  not: (value) => !isTrue(value),
  or: (...values) => values.find(isTrue) ?? values.at(-1),
  join: (separator, list) => (Array.isArray(list) ? list : [list]).map(textOf).join(String(separator)),
  // kubectl reads YAML 1.1, where a bare `yes` is not a text.
  toYaml: (value) =>
    stringify(value ?? null, { version: '1.1', lineWidth: 0, sortMapEntries: true }).trimEnd(),
  nindent: (width, text) => `\n${String(text).replace(/^/gm, ' '.repeat(Number(width)))}`,
};

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

/** Empty values are false, as in Go's templates. */
function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? '' : String(value);
}

/** Pairs of key and value: a list in its own order, a map sorted by key. */
function entriesOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return [...value.entries()];
  return typeof value === 'object' && value !== null ? Object.entries(value).sort() : [];
}
