// The values of the chart: its defaults, then the user's files, then `--set`, merged as Helm merges them.
// Pure.

import { parse } from 'yaml';
import { UsageError } from '../../process/usage.ts';

export type Values = Readonly<Record<string, unknown>>;

/** One assignment of `--set`: `a.b=c`; several are separated by commas, and lists are in braces. */
export interface Assignment {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** Merges `over` into `under`: maps are merged, null removes a value, anything else replaces it. */
export function mergeValues(under: Values, over: Values): Values {
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (value === null) delete merged[key];
    else merged[key] = isMap(value) && isMap(below) ? mergeValues(below, value) : value;
  }
  return merged;
}

/** Parses a file of values as YAML 1.1, like Helm. Throws UsageError. */
export function parseValues(text: string, where: string): Values {
  let value: unknown;
  try {
    value = parse(text, { version: '1.1', logLevel: 'error' }) ?? {};
  } catch (error) {
    throw new UsageError(`${where}: ${(error as Error).message.split(/:?\n/)[0]}`, { cause: error });
  }
  if (!isMap(value)) throw new UsageError(`${where}: expected lines of the form \`name: value\``);
  return value;
}

/** The assignments in `--set TEXT`. Throws UsageError. */
export function parseAssignments(text: string): readonly Assignment[] {
  return splitOutside(text).map((part) => {
    const [, name = '', word = ''] = /^([\w.-]+)=(.*)$/s.exec(part) ?? [];
    if (name === '') throw new UsageError(`--set ${text}: expected NAME=VALUE, got ${JSON.stringify(part)}`);
    return { path: name.split('.'), value: parseWord(word) };
  });
}

/** Values with one assignment. */
export function assigned({ path, value }: Assignment): Values {
  const [last = '', ...rest] = [...path].reverse();
  return rest.reduce<Values>((inner, key) => ({ [key]: inner }), { [last]: value });
}

/** Splits at commas, except inside braces or after a backslash. */
function splitOutside(text: string): readonly string[] {
  return [...text.matchAll(/(?:\{[^}]*\}|\\.|[^,{\\])+/gs)].map(([part]) => part);
}

function parseWord(word: string): unknown {
  const list = /^\{(.*)\}$/s.exec(word)?.[1];
  if (list !== undefined) return list === '' ? [] : splitOutside(list).map(parseWord);
  const plain = word.replace(/\\(.)/gs, '$1');
  if (/^(?:true|false|null|0|-?[1-9]\d*)$/.test(plain)) return JSON.parse(plain) as unknown;
  return plain;
}

export function isMap(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
