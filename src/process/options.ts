// Reads a command's options from one table: flag, then VIPWARD_* variable, then config file, then default.
// Each composition root calls it at the start and when the config file changes.

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { messageOf } from './message-of.ts';
import { UsageError } from './usage.ts';
import { parseCount, parseDuration, parseFlag, parseList } from './values.ts';

export type OptionKind = 'text' | 'list' | 'flag' | 'duration' | 'count' | 'choice';

export interface OptionSpec {
  /**
   * In kebab-case; `token-file` is VIPWARD_TOKEN_FILE in the environment and `tokenFile` in a config file.
   */
  readonly name: string;
  readonly kind: OptionKind;
  /** As a person would type it. */
  readonly default?: string;
  readonly choices?: readonly string[];
  readonly placeholder?: string;
  /** Throws UsageError, beginning with `where`, for a value that the option does not take. */
  readonly check?: (texts: readonly string[], where: string) => void;
  readonly help: string;
}

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

type TypeOf<Spec extends OptionSpec> = Spec['kind'] extends 'list'
  ? readonly string[]
  : Spec['kind'] extends 'flag'
    ? boolean
    : Spec['kind'] extends 'duration' | 'count'
      ? number
      : Spec extends { readonly choices: readonly (infer Choice)[] }
        ? Choice
        : string;

type ValueOf<Spec extends OptionSpec> = Spec extends
  | { readonly default: string }
  | { readonly kind: 'list' | 'flag' }
  ? TypeOf<Spec>
  : TypeOf<Spec> | undefined;

/** The values of a table by camelCase name; durations in milliseconds. Undefined only without a default. */
export type OptionValues<Specs extends readonly OptionSpec[]> = {
  readonly [Spec in Specs[number] as CamelCase<Spec['name']>]: ValueOf<Spec>;
};

/** How a message names the source of each value, by camelCase name; the flag for a default. */
export type OptionPlaces<Specs extends readonly OptionSpec[]> = {
  readonly [Spec in Specs[number] as CamelCase<Spec['name']>]: string;
};

export interface OptionInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How many positional arguments the command takes. */
  readonly words?: number;
}

export interface OptionResult<Specs extends readonly OptionSpec[]> {
  readonly values: OptionValues<Specs>;
  readonly places: OptionPlaces<Specs>;
  readonly words: readonly string[];
  /** `--help` was given: the values are not checked. */
  readonly help: boolean;
  readonly configPath: string | undefined;
}

/** The texts of a value, and how a message names their source. */
interface Found {
  readonly texts: readonly string[];
  readonly where: string;
}

/**
 * Reads the values of a table. The value of a spec named `config` is the path of a YAML file that is read
 * too. Throws UsageError.
 */
export async function readOptions<const Specs extends readonly OptionSpec[]>(
  specs: Specs,
  input: OptionInput,
): Promise<OptionResult<Specs>> {
  const { flags, words, help } = parseFlags(specs, input);
  const inFlags = (spec: OptionSpec) => foundInFlags(spec, flags);
  const configSpec = specs.find((spec) => spec.name === 'config');
  const configFound = configSpec && (inFlags(configSpec) ?? foundInEnv(configSpec, input.env));
  const configPath = configFound?.texts[0];
  const config = configPath === undefined || help ? {} : await readConfig(configPath, specs);
  const values: Record<string, unknown> = {};
  const places: Record<string, string> = {};
  for (const spec of specs) {
    const found =
      inFlags(spec) ?? foundInEnv(spec, input.env) ?? foundInConfig(spec, config, configPath ?? '');
    values[camelCase(spec.name)] = help ? undefined : typedValue(spec, found);
    places[camelCase(spec.name)] = found?.where ?? `--${spec.name}`;
  }
  return {
    values: values as OptionValues<Specs>,
    places: places as OptionPlaces<Specs>,
    words,
    help,
    configPath,
  };
}

/** The values of a table when no option is given. */
export function defaultValues<const Specs extends readonly OptionSpec[]>(specs: Specs): OptionValues<Specs> {
  const values = specs.map((spec) => [camelCase(spec.name), typedValue(spec, undefined)]);
  return Object.fromEntries(values) as OptionValues<Specs>;
}

export function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function envName(name: string): string {
  return `VIPWARD_${name.replaceAll('-', '_').toUpperCase()}`;
}

type Flags = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

function parseFlags(specs: readonly OptionSpec[], { argv, words: most = 0 }: OptionInput) {
  const options: Record<string, { type: 'string' | 'boolean'; multiple: boolean; short?: string }> = {
    help: { type: 'boolean', multiple: false, short: 'h' },
  };
  for (const { name, kind } of specs) {
    options[name] = { type: kind === 'flag' ? 'boolean' : 'string', multiple: kind === 'list' };
    if (name.length === 1) options[name] = { ...options[name], short: name };
  }
  try {
    const parsed = parseArgs({
      args: [...argv],
      options,
      allowPositionals: true,
      strict: true,
      allowNegative: true,
    });
    const flags: Flags = parsed.values;
    const help = flags['help'] === true;
    const extra = parsed.positionals[most];
    if (extra !== undefined && !help)
      throw new UsageError(`${JSON.stringify(extra)} is not expected here; see --help`);
    return { flags, words: parsed.positionals, help };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${firstSentence(error)}; see --help for the flags`, { cause: error });
  }
}

/** Cuts the advice of util.parseArgs about `--`, which is wrong here. */
function firstSentence(error: unknown): string {
  const text = messageOf(error);
  const [, flag] = /^Option '(\S+)' argument is ambiguous/.exec(text) ?? [];
  if (flag !== undefined)
    return `${flag}: its value is missing; give a value that begins with - as ${flag}=VALUE`;
  return text.split('. ')[0]?.split('\n')[0] ?? text;
}

function foundInFlags({ name }: OptionSpec, flags: Flags): Found | undefined {
  const value = flags[name];
  if (value === undefined) return undefined;
  return { texts: (Array.isArray(value) ? value : [value]).map(String), where: `--${name}` };
}

function foundInEnv({ name }: OptionSpec, env: OptionInput['env']): Found | undefined {
  const value = env[envName(name)];
  // In a container manifest an empty variable means "not set".
  return value === undefined || value === '' ? undefined : { texts: [value], where: envName(name) };
}

function foundInConfig({ name }: OptionSpec, config: Config, path: string): Found | undefined {
  const value = config[camelCase(name)];
  if (value === undefined || value === null) return undefined;
  const where = `${path}: ${camelCase(name)}`;
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const odd = items.find((item) => typeof item === 'object');
  if (odd === undefined) return { texts: items.map(String), where };
  throw new UsageError(`${where}: expected a value or a list of values, got ${JSON.stringify(odd)}`);
}

type Config = Readonly<Record<string, unknown>>;

/** The keys of a config file. Loads YAML only here: a command without a file need not carry its 8 MB. */
async function readConfig(path: string, specs: readonly OptionSpec[]): Promise<Config> {
  let value: unknown;
  try {
    const [{ default: yaml }, text] = await Promise.all([import('yaml'), readFile(path, 'utf8')]);
    value = yaml.parse(text, { logLevel: 'error' }) ?? {};
  } catch (error) {
    const why = messageOf(error).split(/:?\n/)[0];
    throw new UsageError(`--config ${path}: ${why}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`--config ${path}: expected lines of the form \`key: value\``);
  }
  const known = new Set(specs.map((spec) => camelCase(spec.name)));
  const unknown = Object.keys(value).find((key) => !known.has(key));
  if (unknown !== undefined) {
    throw new UsageError(
      `--config ${path}: unknown key ${JSON.stringify(unknown)}; known are ${[...known].join(', ')}`,
    );
  }
  return value as Config;
}

function typedValue(spec: OptionSpec, found: Found | undefined): unknown {
  if (spec.kind !== 'list' && found?.texts[0] === '')
    throw new UsageError(`${found.where}: its value is empty; give one, or leave it out`);
  if (found !== undefined)
    spec.check?.(spec.kind === 'list' ? parseList(found.texts) : found.texts, found.where);
  if (spec.kind === 'list')
    return parseList(found?.texts ?? (spec.default === undefined ? [] : [spec.default]));
  const text = found?.texts[0] ?? spec.default;
  const where = found?.where ?? `--${spec.name}`;
  if (spec.kind === 'flag') return text === undefined ? false : parseFlag(text, where);
  if (text === undefined) return undefined;
  switch (spec.kind) {
    case 'duration':
      return parseDuration(text, where);
    case 'count':
      return parseCount(text, where);
    case 'choice':
      if (spec.choices?.includes(text)) return text;
      throw new UsageError(`${where}: expected ${spec.choices?.join(' or ')}, got ${JSON.stringify(text)}`);
    case 'text':
      return text;
    default:
      return spec.kind satisfies never;
  }
}
