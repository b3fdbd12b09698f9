// Completion scripts, made from the verbs and flags that commander knows, so that they cannot fall behind.

import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Verb {
  readonly name: string;
  readonly about: string;
  readonly flags: readonly { readonly name: string; readonly about: string }[];
}

export function completionScript(program: Command, shell: Shell): string {
  const verbs = program.commands.map(
    (command): Verb => ({
      name: command.name(),
      about: command.description(),
      flags: command.options.map((option) => ({
        name: option.long ?? option.flags,
        about: option.description,
      })),
    }),
  );
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

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map(
    ({ name, flags }) => `    ${name}) words="${flags.map((flag) => flag.name).join(' ')} --help" ;;`,
  );
  return `_vipward() {
  local words
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
  const cases = verbs.map(({ name, flags }) => {
    const specs = flags.map(
      (flag) => `'${flag.name}[${quoted(flag.about).replace(/[[\]]/g, '')}]:value:_files'`,
    );
    return `    ${name}) _arguments ${["'--help[show the help]'", ...specs].join(' ')} ;;`;
  });
  return `#compdef vipward
_vipward() {
  local -a verbs=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  case $words[2] in
${cases.join('\n')}
  esac
}
compdef _vipward vipward
`;
}

function fish(verbs: readonly Verb[]): string {
  const lines = verbs.flatMap(({ name, about, flags }) => [
    `complete -c vipward -f -n __fish_use_subcommand -a ${name} -d '${quoted(about)}'`,
    ...flags.map((flag) =>
      [
        `complete -c vipward -n '__fish_seen_subcommand_from ${name}'`,
        `-l ${flag.name.slice(2)} -d '${quoted(flag.about)}'`,
      ].join(' '),
    ),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Fit for single quotes in all three shells. */
function quoted(text: string): string {
  return text.replaceAll("'", '').replaceAll('"', '');
}
