// What Tab completes, in the shells that are installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run, startStub } from './stub.ts';

type Shell = 'bash' | 'zsh' | 'fish';

/** How each shell is asked for completions of the last word: `$1` is the script. */
const asks: Readonly<Record<Shell, readonly string[]>> = {
  bash: [
    '--norc',
    '-c',
    `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}
    _vipward; printf '<%s>\\n' "\${COMPREPLY[@]}"`,
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

/** A shell that prints completions as lines: Tab is pressed once, when the line editor reads keys. */
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
zle-line-init() { print there }
zle -N zle-line-init
`;

/** A stand-in for the program, which completion scripts run. */
const asked = `#!/bin/sh
case "$*" in
  'names vips') printf '%s\\n' 10.0.0.10 10.0.0.11 fd00::10 fd00::11 ;;
  'names nodes') printf '%s\\n' node-a node-b ;;
  'names targets') printf '%s\\n' 10.0.0.10:80 '[fd00::10]:53/udp' ;;
  *) exit 9 ;;
esac
`;

interface Asked {
  /** Completes the last of these words. */
  readonly complete: (...words: readonly string[]) => string[];
}

function ask(t: TestContext, shell: Shell, script: string): Asked {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [file, inside] = [join(folder, 'script'), join(folder, 'inside')];
  writeFileSync(file, script);
  writeFileSync(inside, zshInside.replaceAll('SCRIPT', file));
  writeFileSync(join(folder, 'vipward'), asked, { mode: 0o755 });
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
  return {
    complete(...words) {
      const first = shell === 'zsh' ? [file, inside] : [file];
      const argv = [...asks[shell], ...first, 'vipward', ...words];
      const { stdout, stderr, signal } = spawnSync(shell, argv, {
        encoding: 'utf8',
        timeout: 20_000,
        cwd: folder,
        env,
      });
      assert.deepEqual({ stderr, signal }, { stderr: '', signal: null });
      return [...new Set([...stdout.matchAll(/<([^<>\n]+)>/g)].map(([, word = '']) => word))].sort();
    },
  };
}

function lacks(shell: Shell): string | false {
  const isHere = spawnSync(shell, ['--version']).error === undefined;
  return isHere ? false : `${shell} is not installed`;
}

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  const skip = lacks(shell);
  test(`${shell} completes verbs, flags and values`, { skip }, async (t) => {
    const { out } = await run(['completion', shell]);
    const { complete } = ask(t, shell, out);
    assert.deepEqual(complete('st'), ['status']);
    assert.deepEqual(complete('dr'), ['drain']);
    for (const verb of ['agent', 'controller', 'cleanup', 'completion', 'move', 'undrain'])
      assert.ok(complete('').includes(verb), `${verb} is in ${complete('')}`);
    assert.deepEqual(complete('--'), ['--help', '--version']);
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
    assert.ok(complete('help', 'undr').includes('undrain'));
    assert.ok(!complete('').includes('names'));
  });

  test(`${shell} completes names of the default server, and none of another`, { skip }, async (t) => {
    const { out } = await run(['completion', shell]);
    const { complete } = ask(t, shell, out);
    assert.deepEqual(complete('move', '10.'), ['10.0.0.10', '10.0.0.11']);
    assert.deepEqual(complete('move', '10.0.0.10', 'n'), ['node-a', 'node-b']);
    assert.deepEqual(complete('move', 'fd00::10', 'node-b'), ['node-b']);
    assert.deepEqual(complete('drain', 'no'), ['node-a', 'node-b']);
    assert.deepEqual(complete('undrain', 'node-a'), ['node-a']);
    assert.deepEqual(complete('explain', '10'), ['10.0.0.10:80']);
    const other = complete('drain', '--controller', 'http://another', 'no');
    assert.deepEqual(other, [], 'names of the default server are not those of another');
  });
}

test('bash completes the part after the last = or colon', { skip: lacks('bash') }, async (t) => {
  const { complete } = ask(t, 'bash', (await run(['completion', 'bash'])).out);
  assert.deepEqual(complete('status', '--output=j'), ['json']);
  assert.deepEqual(complete('status', '--output='), ['json', 'table', 'wide']);
  assert.deepEqual(complete('move', 'fd00::1'), ['10', '11']);
  assert.deepEqual(complete('move', 'fd00::10', 'node-a'), ['node-a']);
});

test('names prints the names of the default servers, and none with characters of a shell', async () => {
  const node = (name: string) => ({ name, connected: true, seq: null, lagMs: null });
  const vip = { term: null, state: 'serving', reason: '' };
  await using controller = await startStub({
    'GET /api/v1/status': [
      200,
      {
        vips: [{ ...vip, address: 'fd00::10', node: null, services: [] }],
        nodes: ['node-a', '$(id)', 'a b'].map(node),
      },
    ],
  });
  const ports = [
    { protocol: 'TCP', port: 80 },
    { protocol: 'UDP', port: 53 },
  ];
  const vips = ['10.0.0.10', 'fd00::10'].map((address) => ({
    ...vip,
    address,
    ports,
    held: true,
    dropped: null,
  }));
  await using agent = await startStub({
    'GET /status': [200, { node: 'a', firewall: null, inSync: true, vips }],
  });
  const env = { VIPWARD_CONTROLLER: controller.url, VIPWARD_AGENT: agent.url };
  const of = async (kind: string) => (await run(['names', kind], env)).out;
  assert.equal(await of('vips'), 'fd00::10\n');
  assert.equal(await of('nodes'), 'node-a\n');
  assert.equal(await of('targets'), '10.0.0.10:80\n10.0.0.10:53/udp\n[fd00::10]:80\n[fd00::10]:53/udp\n');
  const nobody = await run(['names', 'vips'], { VIPWARD_CONTROLLER: 'http://127.0.0.1:1' });
  assert.deepEqual(nobody, { code: 3, out: '', err: '' });
});
