// Parses the part of Helm's template language that the chart uses: values, `if`, `range`. Pure; render.ts
// evaluates it, and a test compares the result with Helm's own engine.

import { type Expression, parseExpression } from './expression.ts';

export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: Expression; readonly line: number }
  | {
      readonly kind: 'if';
      readonly condition: Expression;
      readonly line: number;
      readonly body: readonly Piece[];
      readonly otherwise: readonly Piece[];
    }
  | {
      readonly kind: 'range';
      /** The last name is the variable of the value; a name before it is that of the key. */
      readonly names: readonly string[];
      readonly over: Expression;
      readonly line: number;
      readonly body: readonly Piece[];
    };

/** An error in a template, with its line. */
export class TemplateError extends Error {
  readonly code = 'Template';

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
  }
}

interface Action {
  readonly words: string;
  readonly line: number;
}

type Part = string | Action;

/** The pieces of a template. Throws TemplateError. */
export function parseTemplate(text: string): readonly Piece[] {
  const parts = split(text);
  const { pieces, rest } = parsePieces(parts);
  const [left] = rest;
  if (left !== undefined) throw new TemplateError(left.line, `{{ ${left.words} }} has no block to close`);
  return pieces;
}

/** Text and actions in turn; a dash inside the braces removes the adjacent white space. */
function split(text: string): readonly Part[] {
  const parts: Part[] = [];
  let from = 0;
  let trims = false;
  const textUpTo = (end: number, isCut: boolean): string => {
    const piece = text.slice(from, end);
    const begun = trims ? piece.trimStart() : piece;
    return isCut ? begun.trimEnd() : begun;
  };
  for (const match of text.matchAll(/\{\{(- )?(.*?)( -)?\}\}/gs)) {
    const [whole, cutsBefore, words = '', cutsAfter] = match;
    const line = text.slice(0, match.index).split('\n').length;
    parts.push(textUpTo(match.index, cutsBefore !== undefined), { words: words.trim(), line });
    from = match.index + whole.length;
    trims = cutsAfter !== undefined;
  }
  return [...parts, textUpTo(text.length, false)];
}

interface Parsed {
  readonly pieces: readonly Piece[];
  /** The remaining parts, starting with the action that ended the pieces. */
  readonly rest: readonly [Action, ...Part[]] | readonly [];
}

function parsePieces(parts: readonly Part[]): Parsed {
  const pieces: Piece[] = [];
  let rest = parts;
  for (;;) {
    const [part, ...more] = rest;
    if (part === undefined) return { pieces, rest: [] };
    if (typeof part === 'string') {
      if (part !== '') pieces.push({ kind: 'text', text: part });
      rest = more;
      continue;
    }
    if (part.words === 'else' || part.words === 'end') return { pieces, rest: [part, ...more] };
    const parsed = parseAction(part, more);
    pieces.push(parsed.piece);
    rest = parsed.rest;
  }
}

function parseAction(
  action: Action,
  after: readonly Part[],
): { readonly piece: Piece; readonly rest: readonly Part[] } {
  const { words, line } = action;
  const [, verb = '', subject = ''] = /^(if|range) +(.*)$/s.exec(words) ?? [];
  if (verb === '') return { piece: { kind: 'value', value: expressionAt(line, words), line }, rest: after };
  const body = parsePieces(after);
  if (verb === 'if') {
    const hasElse = body.rest[0]?.words === 'else';
    const otherwise = hasElse ? parsePieces(body.rest.slice(1)) : { pieces: [], rest: body.rest };
    const condition = expressionAt(line, subject);
    const piece = { kind: 'if', condition, line, body: body.pieces, otherwise: otherwise.pieces } as const;
    return { piece, rest: afterEnd(action, otherwise) };
  }
  const [, names, over = ''] = /^(\$\w+(?:, *\$\w+)?) *:= *(.*)$/s.exec(subject) ?? [];
  if (names === undefined) throw new TemplateError(line, 'expected range $value := or range $key, $value :=');
  const named = names.split(',').map((name) => name.trim());
  const loop = { names: named, over: expressionAt(line, over), body: body.pieces };
  return { piece: { kind: 'range', line, ...loop }, rest: afterEnd(action, body) };
}

function afterEnd({ words, line }: Action, { rest }: Parsed): readonly Part[] {
  const [end, ...after] = rest;
  if (end?.words !== 'end') throw new TemplateError(line, `{{ ${words} }} has no {{ end }}`);
  return after;
}

function expressionAt(line: number, words: string): Expression {
  try {
    return parseExpression(words);
  } catch (error) {
    throw new TemplateError(line, (error as Error).message);
  }
}
