// Makes the text of --help from the table that options.ts reads.

import { envName, type OptionSpec } from './options.ts';

export interface HelpHead {
  /** Such as `vipward agent [flags]`. */
  readonly usage: string;
  readonly about: string;
}

const column = 34;

/** The help of a command: usage, purpose, and one or two lines per flag. */
export function helpText(specs: readonly OptionSpec[], { usage, about }: HelpHead): string {
  const lines = [`Usage: ${usage}`, '', about, '', 'Flags:'];
  for (const spec of specs) lines.push(...helpLines(spec));
  if (specs.some(({ kind }) => kind === 'duration'))
    lines.push('', 'A DURATION is a number and its unit, ms, s, m or h: 500ms, 1.5s, 2m.');
  // A command without a config file reads no environment variables either.
  if (specs.some(({ name }) => name === 'config'))
    lines.push(
      '',
      `Each flag is also an environment variable (${envName(specs[0]?.name ?? 'config')} and so on);`,
      'a flag overrides the environment, the environment overrides --config, where keys are in camelCase.',
    );
  return `${lines.join('\n')}\n`;
}

function helpLines(spec: OptionSpec): string[] {
  const word =
    spec.choices?.join('|') ?? spec.placeholder ?? (spec.kind === 'flag' ? '' : spec.kind.toUpperCase());
  const left = `  ${spec.name.length === 1 ? '-' : '--'}${spec.name}${word === '' ? '' : ` ${word}`}`;
  const right = spec.default === undefined ? spec.help : `${spec.help} (default ${spec.default})`;
  if (left.length < column - 1) return [left.padEnd(column) + right];
  return [left, ' '.repeat(column) + right];
}
