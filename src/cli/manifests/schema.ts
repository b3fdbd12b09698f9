// Checks values against the chart's schema, as Helm does. Pure; it knows only the keywords that the schema
// uses, and a test checks that there are no others.

import { UsageError } from '../../process/usage.ts';
import { isMap, type Values } from './values.ts';

export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
}

/** All keywords that are checked. */
export const keywords: readonly string[] = [
  'type',
  'enum',
  'minimum',
  'maximum',
  'minItems',
  'pattern',
  'properties',
  'additionalProperties',
  'items',
] satisfies readonly (keyof Schema)[];

/** The origin of a value and its path: `--set allow={a}` and `allow[0]`. */
export interface Place {
  readonly where: string;
  readonly path: string;
}

/** Throws UsageError for the first value that does not match the schema. */
export function checkValue(value: unknown, schema: Schema, { where, path }: Place): void {
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.includes(typeOf(value))) {
    const [first] = Object.keys(schema.properties ?? {});
    if (first !== undefined)
      throw new UsageError(`${where}: ${path}: expected a mapping of values such as ${first}`);
    throw unlike(value, types.map((type) => typeWords[type] ?? type).join(' or '), { where, path });
  }
  if (schema.enum !== undefined && !schema.enum.some((one) => one === value))
    throw unlike(value, schema.enum.join(' or '), { where, path });
  const limit = limitOf(value, schema);
  if (limit !== undefined) throw unlike(value, limit, { where, path });
  if (isMap(value)) checkMembers(value, schema, { where, path });
  if (!Array.isArray(value) || schema.items === undefined) return;
  for (const [index, item] of value.entries())
    checkValue(item, schema.items, { where, path: `${path}[${index}]` });
}

/** What a value of the right type lacks, or undefined. */
function limitOf(value: unknown, { minimum, maximum, minItems, pattern }: Schema): string | undefined {
  if (typeof value === 'number') {
    if (minimum !== undefined && value < minimum) return `${minimum} or more`;
    if (maximum !== undefined && value > maximum) return `${maximum} or less`;
  }
  if (Array.isArray(value) && minItems !== undefined && value.length < minItems)
    return `a list of ${minItems} or more`;
  if (typeof value === 'string' && pattern !== undefined && !new RegExp(pattern, 'u').test(value))
    return `text that matches ${pattern}`;
  return undefined;
}

function checkMembers(values: Values, schema: Schema, { where, path }: Place): void {
  const { properties = {}, additionalProperties } = schema;
  for (const [key, value] of Object.entries(values)) {
    const at = { where, path: path === '' ? key : `${path}.${key}` };
    const own = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (own === false) {
      const names = Object.keys(properties).join(', ');
      throw new UsageError(`${where}: the chart has no value ${at.path}; use one of ${names}`);
    }
    // Null removes a value.
    if (typeof own === 'object' && value !== null) checkValue(value, own, at);
  }
}

const typeWords: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  integer: 'a whole number',
  object: 'a mapping',
  string: 'text',
};

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (value === null) return 'null';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function unlike(value: unknown, wanted: string, { where, path }: Place): UsageError {
  return new UsageError(`${where}: ${path}: expected ${wanted}, got ${JSON.stringify(value)?.slice(0, 100)}`);
}
