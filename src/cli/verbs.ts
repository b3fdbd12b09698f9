// The verbs as commander knows them: names, flags, help with examples. Each verb is implemented in a file of
// its own.

import { Argument, Command, CommanderError, Option } from 'commander';
import { UsageError } from '../process/usage.ts';
import { readVersion } from '../process/version.ts';
import { NoAnswerError, RefusedError } from './answer.ts';
import type { CleanupFlags } from './cleanup.ts';
import { type Shell, shells } from './completion.ts';
import { forms, type Part, parts } from './manifests/parts.ts';
import type { ManifestsFlags } from './manifests.ts';
import { type NameKind, nameKinds } from './names.ts';
import { type Flags, outputs, type Surroundings } from './settings.ts';

/** Runs one verb and resolves to its exit code; stderr has the reason for any code but 0. */
export async function runVerb(argv: readonly string[], around: Surroundings): Promise<number> {
  let code = 0;
  const program = makeProgram(around, (result) => {
    code = result;
  });
  try {
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(unlessUnknown(argv, program), { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError || error instanceof NoAnswerError || error instanceof RefusedError) {
      around.err.write(`vipward ${argv[0]}: ${error.message}\n`);
      return error.exitCode;
    }
    throw error;
  }
}

/** `help WORD` for an unknown verb becomes WORD itself, so that it fails instead of printing all help. */
function unlessUnknown(argv: readonly string[], program: Command): string[] {
  const [first, of] = argv;
  const isKnown = of === undefined || program.commands.some((command) => command.name() === of);
  return first === 'help' && !isKnown ? [of] : [...argv];
}

/** All verbs; `done` gets the exit code of the verb that ran. */
export function makeProgram(around: Surroundings, done: (code: number) => void): Command {
  const program = new Command('vipward')
    .description('A small, fast distributed firewall for Kubernetes load balancer addresses.')
    .version(readVersion(), '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => around.out.write(text),
      writeErr: (text) => around.err.write(text),
    })
    .showHelpAfterError('(--help shows the usage)')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 no server could answer.',
    );
  // These two read their own flags, and are listed here only for the help.
  program.command('agent').description('run the agent of a node; see vipward agent --help');
  program.command('controller').description('run the controller; see vipward controller --help');
  addQuestions(program, around, done);
  addChanges(program, around, done);
  addManifests(program, around, done);
  addLocal(program, around, done);
  return program;
}

type Done = (code: number) => void;

/** Collects the values of a repeatable flag. */
function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** Joins a list given with commas or in several flags; `true` is a flag without a value. */
function joined(text: string, before?: string | true): string {
  return before === undefined || before === true ? text : `${before},${text}`;
}

function addQuestions(program: Command, around: Surroundings, done: Done): void {
  const status = verb(
    program,
    'status',
    'show every VIP with its owner, state and reason; every node with its lag',
    [
      'vipward status',
      'vipward status -o json | head',
      'vipward status --agent http://127.0.0.1:9471 -o wide',
      'vipward status --watch',
      'vipward status --would-drop',
    ],
  );
  serverFlags(status, 'controller');
  const agent = new Option(
    '--agent [url]',
    `ask an agent for the view of its node, with counters; ${placeOf('agent')}`,
  );
  status.addOption(agent.argParser(joined).conflicts('controller'));
  status.option('-w, --watch', 'print the status again every second');
  const wouldDrop = new Option(
    '--would-drop',
    'show what an agent with --filter observe accepts but would drop',
  );
  status.addOption(wouldDrop.conflicts('controller'));
  status.action(async (flags: Flags & { readonly watch?: boolean; readonly wouldDrop?: boolean }) => {
    done(await (await import('./status.ts')).runStatus(flags, around));
  });
  const explain = verb(program, 'explain', 'show whether a packet passes, and which rule decides', [
    'vipward explain 10.0.0.10:443',
    'vipward explain 10.0.0.10:53/udp --from 192.0.2.7',
    "vipward explain '[fd00::10]:80' -o json",
  ]);
  explain.argument('<ip:port[/udp|/sctp]>', 'destination of the packet; IPv6 in brackets');
  explain.option('--from <ip>', 'source address of the packet');
  serverFlags(explain, 'agent');
  explain.action(async (target: string, flags: Flags & { readonly from?: string }) => {
    done(await (await import('./explain.ts')).runExplain(target, flags, around));
  });
  const diff = verb(program, 'diff', 'compare the kernel with the desired state; exit 1 if they differ', [
    'vipward diff',
    'vipward diff --agent http://127.0.0.1:9471 -o json',
  ]);
  serverFlags(diff, 'agent');
  diff.action(async (flags: Flags) => {
    done(await (await import('./diff.ts')).runDiff(flags, around));
  });
}

function addChanges(program: Command, around: Surroundings, done: Done): void {
  const move = verb(program, 'move', 'move a VIP to another node; returns once that node has announced it', [
    'vipward move 10.0.0.10 node-b',
    'vipward move fd00::10 node-b --timeout 30s',
  ]);
  move.argument('<vip>', 'one address').argument('<node>', 'the node to move it to');
  serverFlags(move, 'controller');
  move.action(async (vip: string, node: string, flags: Flags) => {
    done(await (await import('./changes.ts')).runMove({ vip, node }, flags, around));
  });
  for (const name of ['drain', 'undrain'] as const) {
    const about =
      name === 'drain' ? 'move every VIP off a node and give it no more' : 'let a node have VIPs again';
    const command = verb(program, name, about, [`vipward ${name} node-a`]);
    command.argument('<node>', 'the name of the node');
    serverFlags(command, 'controller');
    command.action(async (node: string, flags: Flags) => {
      done(await (await import('./changes.ts')).runDrain({ verb: name, node }, flags, around));
    });
  }
}

function addManifests(program: Command, around: Surroundings, done: Done): void {
  const manifests = verb(program, 'manifests', 'print the Kubernetes manifests of vipward', [
    'vipward manifests crds | kubectl apply --server-side -f -',
    "vipward manifests --set 'pools.lan={10.0.0.100-10.0.0.199}' --set 'allow={10.0.0.0/24}'",
    'vipward manifests agent --values mine.yaml -o json',
  ]);
  manifests.addArgument(new Argument('[part]', 'part to print').choices(parts).default('all'));
  manifests.option('-n, --namespace <name>', 'namespace of vipward (default: vipward-system)');
  manifests.addOption(new Option('-o, --output <form>', 'output format (default: yaml)').choices(forms));
  manifests.option('--set <name=value>', 'chart value, in the syntax of Helm; may be repeated', collect);
  manifests.option('-f, --values <file>', 'YAML file of chart values; may be repeated', collect);
  manifests.action(async (part: Part, flags: ManifestsFlags) => {
    done((await import('./manifests.ts')).runManifests(part, flags, around));
  });
}

function addLocal(program: Command, around: Surroundings, done: Done): void {
  const cleanup = verb(
    program,
    'cleanup',
    'remove everything of vipward from this kernel, while no agent runs',
    ['vipward cleanup', 'vipward cleanup --interface eth0,eth1'],
  );
  cleanup.option(
    '--state <dir>',
    'folder of the records of the agent (VIPWARD_STATE; default: /var/lib/vipward)',
  );
  cleanup.option(
    '--interface <names>',
    'remove addresses from these interfaces only; commas, or repeated (VIPWARD_INTERFACE; default: all)',
    joined,
  );
  cleanup.action(async (flags: CleanupFlags) => {
    done(await (await import('./cleanup.ts')).runCleanup(flags, around));
  });
  const doctor = verb(program, 'doctor', 'check whether this kernel can run vipward; name what is missing', [
    'vipward doctor',
    'vipward doctor -o json',
  ]);
  doctor.addOption(tableOutput());
  doctor.action(async (flags: Flags) => {
    done(await (await import('./doctor.ts')).runDoctor(flags, around));
  });
  verb(program, 'version', 'print the version', ['vipward version']).action(() => {
    around.out.write(`${readVersion()}\n`);
    done(0);
  });
  const completion = verb(program, 'completion', 'print a completion script for a shell', [
    'source <(vipward completion bash)',
    'source <(vipward completion zsh)',
    'vipward completion fish > ~/.config/fish/completions/vipward.fish',
  ]);
  completion.addArgument(completion.createArgument('<shell>', 'the shell').choices([...shells]));
  completion.action(async (shell: Shell) => {
    around.out.write((await import('./completion.ts')).completionScript(program, shell));
    done(0);
  });
  const names = program.command('names', { hidden: true }).description('print names for completion scripts');
  names.addArgument(names.createArgument('<kind>').choices([...nameKinds]));
  names.action(async (kind: NameKind) => {
    done(await (await import('./names.ts')).runNames(kind, around));
  });
  verb(program, 'demo', 'run vipward in network namespaces of its own; npm start', ['vipward demo --once'])
    .option('--once', 'probe once, print, and exit 0 only if every result is as declared')
    .option('--services <file>', 'file of Service manifests to serve');
}

function verb(program: Command, name: string, about: string, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  ${example}`).join('\n');
  return program.command(name).description(about).addHelpText('after', `\nExamples:\n${lines}`);
}

/** The flags of a verb that asks a server of this role. */
function serverFlags(command: Command, role: 'controller' | 'agent'): void {
  command.option(`--${role} <url>`, placeOf(role), joined);
  command.option(
    '--token-file <file>',
    'file of the token for controllers; agents never get it (VIPWARD_TOKEN_FILE)',
  );
  command.option(
    '--ca-file <file>',
    'PEM file of the CA that signed the certificate of the server (VIPWARD_CA_FILE)',
  );
  command.option('--timeout <duration>', 'how long to wait for an answer (VIPWARD_TIMEOUT; default: 10s)');
  command.addOption(tableOutput());
}

function placeOf(role: 'controller' | 'agent'): string {
  const port = role === 'controller' ? 9470 : 9471;
  const where = `VIPWARD_${role.toUpperCase()}; default: http://127.0.0.1:${port}`;
  return `http, https, ws or wss URL; may be repeated (${where})`;
}

function tableOutput(): Option {
  return new Option('-o, --output <form>', 'output format (VIPWARD_OUTPUT; default: table)').choices(outputs);
}
