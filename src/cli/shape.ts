// The shape of an answer, declared once: as a value that answers are checked against, and as their type.

import { type Fields, fail, fields, flag, list, type Path } from '../protocol/shape.ts';

/**
 * A list has the shape of its items. Of an object, `NAME?` may be missing, `NAME|null` may be null,
 * `NAME?|null` may be both, and `*` stands for any name. An answer may have more names.
 */
export type Shape = Word | readonly [Shape] | { readonly [name: string]: Shape };
type Word = 'text' | 'number' | 'flag' | 'any';

/** An answer of this shape. */
export type Shaped<S> = S extends 'text'
  ? string
  : S extends 'number'
    ? number
    : S extends 'flag'
      ? boolean
      : S extends 'any'
        ? unknown
        : S extends readonly [infer Item]
          ? readonly Shaped<Item>[]
          : S extends { readonly '*': infer Value }
            ? Readonly<Record<string, Shaped<Value>>>
            : ShapedObject<S>;
type ShapedObject<S> = {
  readonly [Key in keyof S as Key extends Missing ? never : Bare<Key>]: Shaped<S[Key]> | NullOf<Key>;
} & {
  readonly [Key in keyof S as Key extends Missing ? Bare<Key> : never]?: Shaped<S[Key]> | NullOf<Key>;
};
type Missing = `${string}?` | `${string}?|null`;
type NullOf<Key> = Key extends `${string}|null` ? null : never;
type Bare<Key> = Key extends `${infer Name}|null` ? Bare<Name> : Key extends `${infer Name}?` ? Name : Key;

type Check = (value: unknown, path: Path) => void;

const words: Readonly<Record<Word, Check>> = {
  text: (value, path) => typeof value === 'string' || fail(path, 'a text', value),
  number: (value, path) => typeof value === 'number' || fail(path, 'a number', value),
  flag,
  any: () => undefined,
};

/** Throws FrameError for a value of another shape. */
export function checkShape(value: unknown, shape: Shape): void {
  checkOf(shape)(value, 'answer');
}

/** Made once for all items of a list, which may be many. */
function checkOf(shape: Shape): Check {
  if (typeof shape === 'string') return words[shape];
  if (isList(shape)) {
    const item = checkOf(shape[0]);
    return (value, path) => list(value, path, item, Number.POSITIVE_INFINITY);
  }
  const members = Object.entries(shape).map(([name, of]) => memberCheck(name, checkOf(of)));
  return (value, path) => {
    const object = fields(value, path);
    for (const check of members) check(object, path);
  };
}

function memberCheck(said: string, check: Check): (object: Fields, path: Path) => void {
  if (said === '*')
    return (object, path) => {
      for (const [name, value] of Object.entries(object)) check(value, `${path}.${name}`);
    };
  const [, name = '', missing, nil] = /^(.*?)(\?)?(\|null)?$/.exec(said) ?? [];
  return (object, path) => {
    const value = object[name];
    const isAbsent = (value === undefined && missing !== undefined) || (value === null && nil !== undefined);
    if (!isAbsent) check(value, `${path}.${name}`);
  };
}

function isList(shape: readonly [Shape] | object): shape is readonly [Shape] {
  return Array.isArray(shape);
}
