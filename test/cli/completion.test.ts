// What a person sees who presses Tab, in the shells that are here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run } from './stub.ts';

type Shell = 'bash' | 'zsh' | 'fish';

/** How each shell is asked what may stand in place of the last of some words: `$1` is the script. */
const asks: Readonly<Record<Shell, readonly string[]>> = {
  bash: [
    '--norc',
    '-c',
    `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vipward; printf '<%s>\\n' "\${COMPREPLY[@]}"`,
    'bash',
  ],
  fish: [
    '--no-config',
    '-c',
    `source $argv[1]
    complete -C "$argv[2..]" | string replace -r '\\t.*' '' | string replace -r '(.+)' '<$1>'`,
  ],
  zsh: [
    '-f',
    '-c',
    `zmodload zsh/zpty || exit 9
    zpty asked zsh -f -i
    zpty -w asked "PROMPT=; . $2"
    shift 2
    zpty -r asked line '*there*'
    zpty -w -n asked "$*"$'\\t'
    while zpty -r asked line && [[ $line != *'=end='* ]]; do print -rn -- "$line"; done
    zpty -d asked`,
    'zsh',
  ],
};

/** A shell in which completions are printed and not shown: Tab is pressed once. */
const zshInside = `
autoload -U compinit; compinit -u -d SCRIPT.dump
. SCRIPT
bindkey '^I' complete-word
compadd() {
  if [[ " $* " == *' '-[OAD]' '* ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  print -rl -- "<"\${^hits}">"
}
finish() { print -r -- '=end=' }
comppostfuncs=(finish)
print there
`;

interface Asked {
  /** Words that end in what is completed. */
  readonly complete: (...words: readonly string[]) => string[];
}

function ask(t: TestContext, shell: Shell, script: string): Asked {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [file, inside] = [join(folder, 'script'), join(folder, 'inside')];
  writeFileSync(file, script);
  writeFileSync(inside, zshInside.replaceAll('SCRIPT', file));
  return {
    complete(...words) {
      const first = shell === 'zsh' ? [file, inside] : [file];
      const argv = [...asks[shell], ...first, 'vipward', ...words];
      const { stdout, stderr } = spawnSync(shell, argv, { encoding: 'utf8', timeout: 20_000, cwd: folder });
      assert.equal(stderr, '');
      return [...new Set([...stdout.matchAll(/<([^<>\n]+)>/g)].map(([, word = '']) => word))].sort();
    },
  };
}

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  const isHere = spawnSync(shell, ['--version']).error === undefined;
  const skip = isHere ? false : `${shell} is not here to complete`;
  test(`${shell} completes verbs, flags and values`, { skip }, async (t) => {
    const { out } = await run(['completion', shell]);
    const { complete } = ask(t, shell, out);
    assert.deepEqual(complete('st'), ['status']);
    assert.deepEqual(complete('dr'), ['drain']);
    for (const verb of ['agent', 'controller', 'cleanup', 'completion', 'move', 'undrain'])
      assert.ok(complete('').includes(verb), `${verb} is in ${complete('')}`);
    assert.deepEqual(complete('status', '--co'), ['--controller']);
    assert.deepEqual(complete('status', '--output', ''), ['json', 'table', 'wide']);
    assert.deepEqual(complete('status', '-o', 'j'), ['json']);
    assert.deepEqual(complete('doctor', '-o', 'w'), ['wide']);
    assert.deepEqual(complete('agent', '--fi'), ['--filter', '--firewall', '--first-claim']);
    assert.deepEqual(complete('agent', '--firewall', ''), ['auto', 'nftables', 'xtables']);
    assert.deepEqual(complete('controller', '--ser'), ['--services']);
    assert.deepEqual(complete('completion', 'b'), ['bash']);
    assert.deepEqual(complete('manifests', 'c'), ['controller', 'crds']);
    assert.deepEqual(complete('manifests', '-o', ''), ['json', 'yaml']);
    assert.deepEqual(complete('cleanup', '--in'), ['--interface']);
    assert.ok(complete('explain', '--').includes('--from'));
  });
}
