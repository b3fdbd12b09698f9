// The composition root of `vipward agent`: options, the one place on this host, the agent, its servers.

import { loadNative } from '../host/native.ts';
import { SystemCallError } from '../host/socket.ts';
import { helpText } from '../process/help.ts';
import { type Route, routeListener, serverLimits } from '../process/http.ts';
import { createLog, type Log, openLogDestination } from '../process/log.ts';
import { readOptions } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import type { HostPort } from '../process/values.ts';
import { readVersion } from '../process/version.ts';
import { startAgent } from './agent.ts';
import { agentRoutes } from './api.ts';
import { agentConfig, agentOptions } from './config.ts';
import { TableOwnedError } from './firewall.ts';
import { SecondAgentError, takeLock } from './lock.ts';
import { startWhenPossible } from './waiting.ts';

const about = `Holds this node's VIPs and the filter in front of them, as a controller says. Needs
CAP_NET_ADMIN and CAP_NET_RAW, in the host's network namespace.`;

/**
 * Runs an agent until the signal is aborted, and leaves the kernel as it is then. Resolves to the exit code:
 * 0 after a stop, 1 if it cannot start here, 2 for wrong usage; the reason is on stderr.
 */
export async function runAgent(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<number> {
  try {
    const { values, help } = await readOptions(agentOptions, { argv, env });
    if (help) {
      process.stdout.write(helpText(agentOptions, { usage: 'vipward agent [flags]', about }));
      return 0;
    }
    const config = agentConfig(values);
    using destination = openLogDestination();
    const log = createLog(values.logLevel, destination, { component: 'agent', node: config.node });
    const lock = await takeLock(process.pid);
    const version = readVersion();
    const native = loadNative();
    const lockFile = env['XTABLES_LOCKFILE'] || undefined;
    const agent = await startWhenPossible({
      ...{ config, version, log, signal },
      start: () => startAgent(config, { native, log, logDestination: destination, version, lockFile }),
      serve: (routes) => serve(routes, config.listen, log),
    });
    if (agent === undefined) return 0;
    const servers = [await serve(agentRoutes(agent, true), config.listen, log)];
    if (config.metricsListen !== undefined)
      servers.push(await serve(agentRoutes(agent, false), config.metricsListen, log));
    log.info({ firewall: agent.firewall.dialect.name, owned: agent.firewall.owned }, 'serving');
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    for (const server of servers) server[Symbol.dispose]();
    await agent.stop();
    lock.close();
    log.info('stopped');
    return 0;
  } catch (error) {
    return say(error);
  }
}

async function serve(routes: Route[], { host, port }: HostPort, log: Log): Promise<Disposable> {
  const onError = (error: unknown): void => log.error({ reason: String(error) }, 'request-failed');
  // An import would load all that node:http lists, a second HTTP client among it: 3 MB resident.
  const { createServer } = process.getBuiltinModule('node:http');
  const server = createServer(serverLimits, routeListener(routes, onError));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  return {
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function say(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`vipward agent: ${error.message}\n`);
    return error.exitCode;
  }
  const expected =
    error instanceof SecondAgentError ||
    error instanceof TableOwnedError ||
    error instanceof SystemCallError ||
    (error as NodeJS.ErrnoException).syscall !== undefined;
  if (!expected) throw error;
  process.stderr.write(`vipward agent: ${(error as Error).message}\n`);
  return 1;
}
