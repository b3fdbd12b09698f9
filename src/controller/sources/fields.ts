// Reads fields of values that others wrote: manifests, API objects, kubeconfigs, records. Each function
// throws a FieldError with the field's path.

import { messageOf } from '../../process/message-of.ts';

/** A field whose value is not allowed there. */
export class FieldError extends Error {
  readonly code = 'BadField';

  constructor(field: string, message: string) {
    super(`${field}: ${message}`);
  }
}

export type Mapping = Readonly<Record<string, unknown>>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member that a path leads to; undefined where the path leaves the mappings. */
export function memberAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => (isMapping(part) ? part[name] : undefined), value);
}

export function mapping(value: unknown, field: string): Mapping {
  if (isMapping(value)) return value;
  throw new FieldError(field, `expected a mapping, got ${shown(value)}`);
}

/** A list; an absent list is empty. */
export function sequence(value: unknown, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new FieldError(field, `expected a list, got ${shown(value)}`);
}

export function textAt(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new FieldError(field, `expected text, got ${shown(value)}`);
}

/** A whole number of 0 or more. */
export function wholeAt(value: unknown, field: string): number {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw new FieldError(field, `expected a whole number, got ${shown(value)}`);
}

export function choiceAt<T extends string>(value: unknown, field: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new FieldError(field, `expected ${choices.join(' or ')}, got ${shown(value)}`);
}

/** Runs a parser of state/ and turns its error into a FieldError. */
export function fieldAt<T>(field: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new FieldError(field, messageOf(error));
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
