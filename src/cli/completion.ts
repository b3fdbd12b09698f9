// Completion scripts, generated from commander's verbs and flags and from the option tables of agent and
// controller, so that they cannot become stale.

import type { Command, Option } from 'commander';
import { agentOptions } from '../agent/config.ts';
import { controllerOptions } from '../controller/config.ts';
import type { OptionSpec } from '../process/options.ts';
import type { NameKind } from './names.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Flag {
  /** For example `-o` and `--output`. */
  readonly names: readonly string[];
  readonly about: string;
  readonly takes: 'nothing' | 'a value' | readonly string[];
}

interface Verb {
  readonly name: string;
  readonly about: string;
  readonly flags: readonly Flag[];
  /** The possible values of the first argument, if it is one of a few words. */
  readonly words: readonly string[];
  /** The kind of name that each argument is. */
  readonly names: readonly NameKind[];
}

/** The kind of name by commander's name of the argument. */
const kinds: Readonly<Record<string, NameKind>> = {
  vip: 'vips',
  node: 'nodes',
  'ip:port[/udp|/sctp]': 'targets',
};

export function completionScript(program: Command, shell: Shell): string {
  const shown = program.createHelp().visibleCommands(program);
  const words = shown.map((command) => command.name());
  const verbs = shown.map((command) => {
    return command.name() === 'help' ? { ...verbOf(command), words } : verbOf(command);
  });
  const flags = [...program.options.map(flagOf), help];
  switch (shell) {
    case 'bash':
      return bash(verbs, flags);
    case 'zsh':
      return zsh(verbs, flags);
    case 'fish':
      return fish(verbs, flags);
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
    names: command.registeredArguments.flatMap((argument) => kinds[argument.name()] ?? []),
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

/** Bash splits words at `=` and `:`, so the script matches words of the line and returns only the rest. */
function bash(verbs: readonly Verb[], ownFlags: readonly Flag[]): string {
  const cases = verbs.map(({ name, flags, words, names }) => {
    const values = flags.map(({ names: forms, takes }) => {
      if (takes === 'nothing') return '';
      // A value without listed words is a file name.
      return `      ${forms.join('|')}) words="${takes === 'a value' ? '' : takes.join(' ')}" ;;\n`;
    });
    const all = [...words, ...longNames(flags)].join(' ');
    const [first = '', second] = names;
    // Only an address is followed by another name.
    const next = second === undefined ? '' : `      *[.:]*) words="${all}" names=${second} ;;\n`;
    const other = `      *) words="${all}" names=${first} ;;\n`;
    return `    ${name}) case "$before" in\n${values.join('')}${next}${other}    esac ;;`;
  });
  return `_vipward() {
  local typed line="\${COMP_LINE:0:COMP_POINT}" words='' names=''
  local word="\${line##* }"
  IFS=' ' read -ra typed <<< "\${line%"$word"}"
  local before="\${typed[\${#typed[@]} - 1]}"
  case "$word" in --*=*) before="\${word%%=*}" word="\${word#*=}" ;; esac
  case "\${typed[1]}" in
${cases.join('\n')}
    '') words="${[...verbs.map(({ name }) => name), ...longNames(ownFlags)].join(' ')}" ;;
  esac
  case "$word$line" in -*|*' --controller'*|*' --agent'*) names='' ;; esac
  [ -z "$names" ] || words="$words $("\${COMP_WORDS[0]}" names "$names" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  COMPREPLY=("\${COMPREPLY[@]#"\${word%"\${word##*:}"}"}")
}
complete -o default -F _vipward vipward
`;
}

function longNames(flags: readonly Flag[]): string[] {
  return flags.flatMap(({ names }) => names.slice(-1));
}

function zsh(verbs: readonly Verb[], ownFlags: readonly Flag[]): string {
  const names = verbs.map(({ name, about }) => `    '${name}:${quoted(about).replaceAll(':', '\\:')}'`);
  const cases = verbs.map(({ name, flags, words, names: kindsOf }) => {
    const first = words.length === 0 ? '*:argument:_default' : `1:argument:(${words.join(' ')})`;
    const named = kindsOf.map((kind, index) => `${index + 1}:${kind}: _vipward_names ${kind}`);
    const specs = [...flags.flatMap(zshSpecs), ...named, first].map((spec) => `'${spec}'`);
    return `    ${name}) _arguments ${specs.join(' ')} ;;`;
  });
  const own = ownFlags
    .flatMap(zshSpecs)
    .map((spec) => `'${spec}'`)
    .join(' ');
  // zsh runs a file of the fpath at the first completion, but not a sourced file.
  return `#compdef vipward
_vipward_names() {
  (( \${words[(I)--(controller|agent)*]} )) && return 1
  compadd -- \${(f)"$(vipward names $1 2>/dev/null)"}
}
_vipward() {
  local -a verbs=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    case $PREFIX in -*) _arguments ${own} ;; *) _describe verb verbs ;; esac
    return
  fi
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

function fish(verbs: readonly Verb[], ownFlags: readonly Flag[]): string {
  const lines = verbs.flatMap(({ name, about, flags, words, names }) => {
    const isVerb = `__fish_seen_subcommand_from ${name}`;
    const seen = `complete -c vipward -n '${isVerb}'`;
    const asked = names.map((kind, index) => {
      // Only an address is followed by another name.
      const place = names.length === 1 ? '' : `; and ${index === 0 ? 'not ' : ''}_vipward_typed "[.:]"`;
      const when = `${isVerb}${place}; and not _vipward_typed "^--(controller|agent)"`;
      return `complete -c vipward -n '${when}' -a '(vipward names ${kind} 2>/dev/null)'`;
    });
    return [
      `complete -c vipward -n __fish_use_subcommand -a ${name} -d '${quoted(about)}'`,
      ...(words.length === 0 ? [] : [`${seen} -a '${words.join(' ')}'`]),
      ...asked,
      ...flags.map((flag) => `${seen} ${fishFlag(flag)}`),
    ];
  });
  const typed = `function _vipward_typed
  string match -qr -- $argv[1] (commandline -opc)[2..]
end`;
  const own = ownFlags.map((flag) => `complete -c vipward -n __fish_use_subcommand ${fishFlag(flag)}`);
  return `${[typed, 'complete -c vipward -f', ...own, ...lines].join('\n')}\n`;
}

function fishFlag({ names, about, takes }: Flag): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = takes === 'a value' ? '-r -F ' : takes === 'nothing' ? '' : `-x -a '${takes.join(' ')}' `;
  return `${flags.join(' ')} ${value}-d '${quoted(about)}'`;
}

/** Makes a text safe within single quotes in all three shells. */
function quoted(text: string): string {
  return text.replaceAll("'", '').replaceAll('"', '').replaceAll('\\', '');
}
