// Nearly valid values and texts, for tests of parsers of foreign input.

import { ok } from 'node:assert/strict';
import fc from 'fast-check';

const odd = fc.oneof(
  fc.constantFrom(
    null,
    true,
    -1,
    0,
    1.5,
    2 ** 53,
    '',
    '0',
    '10.0.0.1',
    'fd00::1/129',
    'a/b/c',
    '\u0000',
    '☃',
  ),
  fc.constantFrom<unknown>([], {}, [[]], [null], { length: 1 }, { toString: 1 }),
  fc.jsonValue({ maxDepth: 3 }),
);

type Path = readonly (string | number)[];

function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  const inner = Object.entries(value).flatMap(([key, item]) => {
    return pathsOf(item, [...at, Array.isArray(value) ? Number(key) : key]);
  });
  return [at, ...inner];
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  const inner = (value as Record<string, unknown>)[key];
  if (Array.isArray(value))
    return value.map((item, index) => (index === key ? replaced(item, rest, by) : item));
  const entries = Object.entries(value as object).filter(([name]) => name !== key);
  const item = replaced(inner, rest, by);
  return Object.fromEntries(item === undefined ? entries : [...entries, [key, item]]);
}

/** A value like one of these, with up to three parts of it replaced or removed. */
export function changed(...values: readonly unknown[]): fc.Arbitrary<unknown> {
  const change = fc.record({ at: fc.nat(), by: fc.option(odd, { nil: undefined }) });
  return fc
    .tuple(fc.constantFrom(...values), fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([value, changes]) => {
      return changes.reduce<unknown>((made, { at, by }) => {
        const paths = pathsOf(made);
        return replaced(made, paths[at % paths.length] ?? [], by) ?? null;
      }, value);
    });
}

/** A text like one of these, with bits of it cut out, inserted or repeated. */
export function garbled(...texts: readonly string[]): fc.Arbitrary<string> {
  const bit = fc.oneof(
    fc.string({ maxLength: 4, unit: 'binary' }),
    fc.constantFrom(
      '---\n',
      '\t',
      '&a ',
      '*a',
      '!!set ',
      '{',
      ']',
      '"',
      '\\u',
      ': ',
      '- ',
      '<<: *a\n',
      '|\n',
      '%Y\n',
    ),
  );
  const edit = fc.record({ at: fc.nat(), cut: fc.nat(12), put: bit });
  return fc
    .tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) => {
      return edits.reduce((made, { at, cut, put }) => {
        const from = at % (made.length + 1);
        return made.slice(0, from) + put + made.slice(from + cut);
      }, text);
    });
}

/** Runs a parser, which may end in a value or in one of these errors, and in nothing else. */
export async function endsWell(
  parse: () => unknown,
  ...errors: readonly (new (
    ...args: never[]
  ) => Error)[]
): Promise<void> {
  try {
    await parse();
  } catch (error) {
    ok(
      errors.some((known) => error instanceof known),
      `${error instanceof Error ? error.stack : String(error)}`,
    );
    ok((error as Error).message.length > 0);
  }
}
