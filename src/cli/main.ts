// The composition root of `vipward`: the only reader of argv, the environment and signals, and the only
// setter of the exit code. It imports each command on demand, so that an agent loads no other code.

/**
 * Aborts on the first SIGTERM or SIGINT; later ones change nothing. A process of the demo also aborts when
 * its IPC channel closes, so that it stops with the demo, however that ended. SIGUSR1 changes nothing: Node
 * would open a debugger to every user of this host, and other programs print their state at that signal.
 */
function rootSignal(): AbortSignal {
  const root = new AbortController();
  const stop = () => root.abort();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, stop);
  process.on('SIGUSR1', () => undefined);
  process.on('disconnect', stop);
  process.channel?.unref();
  return root.signal;
}

/** Dispatches `reload` at each SIGHUP: the process rereads what can change without a restart. */
function hangUps(): EventTarget {
  const reloads = new EventTarget();
  process.on('SIGHUP', () => reloads.dispatchEvent(new Event('reload')));
  return reloads;
}

/** Turns `help VERB` into `VERB --help` for the two verbs that read their own flags. */
function asked([verb = '', ...rest]: readonly string[]): readonly [string, ...string[]] {
  const [of = ''] = rest;
  return verb === 'help' && (of === 'agent' || of === 'controller') ? [of, '--help'] : [verb, ...rest];
}

async function run(): Promise<number> {
  const [verb, ...argv] = asked(process.argv.slice(2));
  const { env } = process;
  switch (verb) {
    case 'agent':
      return await (await import('../agent/main.ts')).runAgent(argv, {
        env,
        signal: rootSignal(),
        reloads: hangUps(),
      });
    case 'controller':
      return await (await import('../controller/main.ts')).runController(argv, {
        env,
        signal: rootSignal(),
        reloads: hangUps(),
      });
    case 'demo':
      // Closing the terminal ends the demo as Ctrl-C does.
      process.on('SIGHUP', () => process.kill(process.pid, 'SIGTERM'));
      return await (await import('./demo.ts')).runDemo(argv, {
        env,
        signal: rootSignal(),
        program: [process.execPath, process.argv[1] ?? ''],
      });
    case 'demo-peer':
      return await (await import('./demo/peer.ts')).runPeer();
    default: {
      const { runVerb } = await import('./verbs.ts');
      const { stdout: out, stderr: err } = process;
      return await runVerb(process.argv.slice(2), { env, out, err, gone: gone.signal });
    }
  }
}

/** A reader that closes the pipe, as `head` does, ends the output without an error or a new exit code. */
const gone = new AbortController();
let isUnwritten = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') {
    if (!isUnwritten) process.stderr.write(`vipward: cannot write the output: ${error.message}\n`);
    isUnwritten = true;
    process.exitCode = 1;
  }
  gone.abort();
});

run().then(
  (code) => {
    process.exitCode = isUnwritten ? 1 : code;
  },
  (error: unknown) => {
    process.stderr.write(`vipward: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  },
);
