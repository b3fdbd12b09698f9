// The building blocks of parse.ts: each takes an unknown value and its path, and throws FrameError.

/** A frame or state file is malformed; the message starts with the path of the first bad field. */
export class FrameError extends Error {
  readonly code = 'BadFrame';
}

export type Fields = Readonly<Record<string, unknown>>;

/** The path of a value in messages: `set[3].ports[0].port`. */
export type Path = string;

/** Stands for a path that is not built: a long list is parsed without paths, and with them after an error. */
const unsaid: Path = '';

export function under(path: Path, name: string): Path {
  return path === unsaid ? unsaid : path + name;
}

export function fail(path: Path, expected: string, got: unknown): never {
  throw new FrameError(`${path}: expected ${expected}, got ${shown(got)}`);
}

/** A value in a few words, without the contents of lists and objects, which may be nested without limit. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, 81)) : String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export function fields(value: unknown, path: Path): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  return fail(path, 'an object', value);
}

export function list<T>(
  value: unknown,
  path: Path,
  item: (value: unknown, path: Path) => T,
  most = 100_000,
): T[] {
  if (!Array.isArray(value)) return fail(path, 'a list', value);
  if (value.length > most) return fail(path, `at most ${most} items`, value.length);
  if (path === unsaid) return value.map((entry) => item(entry, unsaid));
  return value.map((entry, index) => item(entry, `${path}[${index}]`));
}

/** A list that is long and nearly always valid. */
export function longList<T>(value: unknown, path: Path, item: (value: unknown, path: Path) => T): T[] {
  try {
    return list(value, unsaid, item);
  } catch {
    return list(value, path, item);
  }
}

export function text(value: unknown, path: Path, most = 1024): string {
  if (typeof value === 'string' && value.length <= most) return value;
  return fail(path, `a text of at most ${most} characters`, value);
}

export function flag(value: unknown, path: Path): boolean {
  return typeof value === 'boolean' ? value : fail(path, 'true or false', value);
}

export function whole(value: unknown, path: Path, most: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
  return fail(path, `a whole number of 0-${most}`, value);
}

export function oneOf<T extends string>(value: unknown, path: Path, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  return found ?? fail(path, choices.join(' or '), value);
}

/** Runs a parser of `state/` and puts the path before its error message. */
export function at<T>(path: Path, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new FrameError(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
