// The composition root of `vipward agent`: reads options, takes the lock, opens the servers, runs the agent.

import { loadNative } from '../host/native.ts';
import { SystemCallError } from '../host/socket.ts';
import { aborted } from '../process/aborted.ts';
import { watchConfig } from '../process/config.ts';
import { helpText } from '../process/help.ts';
import type { Route } from '../process/http.ts';
import { ListenError } from '../process/listen.ts';
import { createLog, type Log, openLogDestination } from '../process/log.ts';
import { type OptionInput, readOptions } from '../process/options.ts';
import { serve } from '../process/serve.ts';
import { UsageError } from '../process/usage.ts';
import { readVersion } from '../process/version.ts';
import { type Agent, startAgent } from './agent.ts';
import { agentRoutes } from './answers/api.ts';
import { type AgentConfig, type AgentValues, agentConfig, agentOptions } from './config.ts';
import { TableOwnedError } from './firewall/firewall.ts';
import { SecondAgentError, takeLock } from './lock.ts';
import { startWhenPossible } from './start-when-possible.ts';

const about = `Holds this node's VIPs and filters the packets to them, as a controller directs. Needs
CAP_NET_ADMIN and CAP_NET_RAW, in the host's network namespace.

Examples:
  vipward agent --controller ws://10.0.0.5:9470 --node node-a --allow 10.0.0.0/24
  vipward agent --controller wss://vipward.example:9470 --node node-b --allow 10.0.0.0/24,fd00::/64 \\
    --token-file token --ca-file ca.crt`;

/** The environment, signal and reload events of the process. */
export interface AgentProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Dispatches `reload` when the config file is to be read again, changed or not. */
  readonly reloads: EventTarget;
}

/**
 * Runs an agent until the signal is aborted, and leaves the kernel as it is. Resolves to the exit code: 0
 * after a stop, 1 if the agent cannot start here, 2 for wrong usage; the reason is on stderr.
 */
export async function runAgent(
  argv: readonly string[],
  { env, signal, reloads }: AgentProcess,
): Promise<number> {
  try {
    const { values, help, configPath } = await readOptions(agentOptions, { argv, env });
    if (help) {
      process.stdout.write(helpText(agentOptions, { usage: 'vipward agent [flags]', about }));
      return 0;
    }
    const config = agentConfig(values);
    using destination = openLogDestination();
    const log = createLog(values.logLevel, destination, { component: 'agent', node: config.node });
    const native = loadNative();
    using lock = await takeLock(native);
    for (const squatter of lock.squatters) log.warn({ reason: squatter }, 'lockSquatted');
    // Before the kernel is touched: an agent that cannot serve status and health must not run.
    using servers = await openServers(config, log);
    const version = readVersion();
    const lockFile = env['XTABLES_LOCKFILE'] || undefined;
    const agent = await startWhenPossible({
      config,
      version,
      log,
      signal,
      start: () =>
        startAgent(config, { native, log, logDestination: destination, version, signal, lockFile }),
      show: servers.show,
    });
    if (agent !== undefined) {
      const { own, open } = agentRoutes(agent);
      servers.show(own, open);
      log.info({ firewall: agent.firewall.dialect.name, owned: agent.firewall.owned }, 'serving');
      const input = { argv, env };
      followConfig(agent, { path: configPath, input, inForce: values, log, signal, reloads });
      await aborted(signal);
    }
    servers[Symbol.dispose]();
    const isWritten = (await agent?.stop()) ?? true;
    log.info('stopped');
    if (isWritten) return 0;
    log.error({ reason: `the disk of ${values.state} does not answer` }, 'stateUnwritable');
    // A thread waits for that disk, and a normal exit would wait for the thread.
    return native.exit(0);
  } catch (error) {
    return say(error);
  }
}

interface FollowInput extends Pick<AgentProcess, 'signal' | 'reloads'> {
  readonly path: string | undefined;
  readonly input: OptionInput;
  readonly inForce: AgentValues;
  readonly log: Log;
}

/** Reads the config file again when it changes and on `reload`; an invalid file changes nothing. */
function followConfig(agent: Agent, follower: FollowInput): void {
  const { path, input, inForce, log, signal, reloads } = follower;
  if (path === undefined) return;
  const onError = (error: Error): void => log.error({ reason: error.message }, 'configRefused');
  const onChange = ({ values }: { readonly values: AgentValues }): void => {
    try {
      agent.follow(agentConfig(values));
    } catch (error) {
      onError(error as Error);
    }
  };
  watchConfig({ path, specs: agentOptions, input, inForce, reloads, onChange, onError, signal });
}

interface Servers extends Disposable {
  show(forThisHost: readonly Route[], forScrapers: readonly Route[]): void;
}

async function openServers({ listen, metricsListen }: AgentConfig, log: Log): Promise<Servers> {
  const onError = (error: unknown): void => log.error({ reason: String(error) }, 'requestFailed');
  using opened = new DisposableStack();
  const own = opened.use(await serve({ flag: '--listen', at: listen, onError }));
  const open =
    metricsListen === undefined
      ? undefined
      : opened.use(await serve({ flag: '--metrics-listen', at: metricsListen, onError }));
  const servers = opened.move();
  return {
    show(forThisHost, forScrapers) {
      own.show(forThisHost);
      open?.show(forScrapers);
    },
    [Symbol.dispose]: () => servers.dispose(),
  };
}

function say(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`vipward agent: ${error.message}\n`);
    return error.exitCode;
  }
  const expected =
    error instanceof SecondAgentError ||
    error instanceof ListenError ||
    error instanceof TableOwnedError ||
    error instanceof SystemCallError ||
    (error as NodeJS.ErrnoException).syscall !== undefined;
  if (!expected) throw error;
  process.stderr.write(`vipward agent: ${(error as Error).message}\n`);
  return 1;
}
