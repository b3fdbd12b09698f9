// Completion scripts, made from the verbs and flags that commander knows and from the tables of the two
// processes, so that they cannot fall behind.

import type { Command, Option } from 'commander';
import { agentOptions } from '../agent/config.ts';
import { controllerOptions } from '../controller/config.ts';
import type { OptionSpec } from '../process/options.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Flag {
  /** Such as `-o` and `--output`. */
  readonly names: readonly string[];
  readonly about: string;
  readonly takes: 'nothing' | 'a value' | readonly string[];
}

interface Verb {
  readonly name: string;
  readonly about: string;
  readonly flags: readonly Flag[];
  /** What its first argument can be, where that is one of a few words. */
  readonly words: readonly string[];
}

export function completionScript(program: Command, shell: Shell): string {
  const verbs = program.commands.map((command) => verbOf(command));
  switch (shell) {
    case 'bash':
      return bash(verbs);
    case 'zsh':
      return zsh(verbs);
    case 'fish':
      return fish(verbs);
    default:
      return shell satisfies never;
  }
}

function verbOf(command: Command): Verb {
  const name = command.name();
  const specs: readonly OptionSpec[] =
    name === 'agent' ? agentOptions : name === 'controller' ? controllerOptions : [];
  const flags = [...command.options.map(flagOf), ...specs.map(flagOfSpec), help];
  return {
    name,
    about: command.description(),
    flags,
    words: command.registeredArguments[0]?.argChoices ?? [],
  };
}

const help: Flag = { names: ['--help'], about: 'show the help', takes: 'nothing' };

function flagOf({ short, long, description, argChoices, required, optional }: Option): Flag {
  const names = [short, long].filter((name) => name !== undefined);
  const takes = argChoices ?? (required || optional ? 'a value' : 'nothing');
  return { names, about: description, takes };
}

function flagOfSpec({ name, help: about, kind, choices }: OptionSpec): Flag {
  return { names: [`--${name}`], about, takes: choices ?? (kind === 'flag' ? 'nothing' : 'a value') };
}

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map(({ name, flags, words }) => {
    const values = flags.map(({ names, takes }) => {
      if (takes === 'nothing') return '';
      // Without words of ours it is a name of a file.
      return `      ${names.join('|')}) words="${takes === 'a value' ? '' : takes.join(' ')}" ;;\n`;
    });
    const all = [...words, ...flags.flatMap(({ names }) => names.slice(-1))].join(' ');
    return `    ${name}) case "$before" in\n${values.join('')}      *) words="${all}" ;;\n    esac ;;`;
  });
  return `_vipward() {
  local words before="\${COMP_WORDS[COMP_CWORD - 1]}"
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  [ "$COMP_CWORD" -gt 1 ] || words="${verbs.map(({ name }) => name).join(' ')}"
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _vipward vipward
`;
}

function zsh(verbs: readonly Verb[]): string {
  const names = verbs.map(({ name, about }) => `    '${name}:${quoted(about).replaceAll(':', '\\:')}'`);
  const cases = verbs.map(({ name, flags, words }) => {
    const first = words.length === 0 ? '*:argument:_default' : `1:argument:(${words.join(' ')})`;
    const specs = [...flags.flatMap(zshSpecs), first].map((spec) => `'${spec}'`);
    return `    ${name}) _arguments ${specs.join(' ')} ;;`;
  });
  // A file of the fpath is run at the first completion, a sourced one is not.
  return `#compdef vipward
_vipward() {
  local -a verbs=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] = _vipward ]]; then _vipward; else compdef _vipward vipward; fi
`;
}

function zshSpecs({ names, about, takes }: Flag): string[] {
  const value =
    takes === 'a value' ? ':value:_files' : takes === 'nothing' ? '' : `:value:(${takes.join(' ')})`;
  return names.map((name) => `${name}[${quoted(about).replace(/[[\]]/g, '')}]${value}`);
}

function fish(verbs: readonly Verb[]): string {
  const lines = verbs.flatMap(({ name, about, flags, words }) => {
    const seen = `complete -c vipward -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c vipward -n __fish_use_subcommand -a ${name} -d '${quoted(about)}'`,
      ...(words.length === 0 ? [] : [`${seen} -a '${words.join(' ')}'`]),
      ...flags.map((flag) => `${seen} ${fishFlag(flag)}`),
    ];
  });
  return `${['complete -c vipward -f', ...lines].join('\n')}\n`;
}

function fishFlag({ names, about, takes }: Flag): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = takes === 'a value' ? '-r -F ' : takes === 'nothing' ? '' : `-x -a '${takes.join(' ')}' `;
  return `${flags.join(' ')} ${value}-d '${quoted(about)}'`;
}

/** Fit for single quotes in all three shells. */
function quoted(text: string): string {
  return text.replaceAll("'", '').replaceAll('"', '').replaceAll('\\', '');
}
