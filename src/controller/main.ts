// The composition root of `vipward controller`: options, log, config file and exit code. run.ts puts the
// controller together.

import { setFlagsFromString } from 'node:v8';
import { watchConfig } from '../process/config.ts';
import { helpText } from '../process/help.ts';
import { ListenError } from '../process/listen.ts';
import { createLog, openLogDestination } from '../process/log.ts';
import { readOptions } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import { readVersion } from '../process/version.ts';
import { controllerConfig, controllerOptions, waitingKeys } from './config.ts';
import { StateError } from './records/records.ts';
import { startController } from './run.ts';
import { DeposedError } from './sources/kubernetes/elector.ts';

const about = `Reads Services from manifests or an API server, gives each a VIP from a pool, places
each VIP on a node, and streams the result to the agents.

Examples:
  vipward controller --services services.yaml --pool lan=10.0.0.100-10.0.0.199
  vipward controller --kubernetes --pool lan=10.0.0.100-10.0.0.199,fd00::100-fd00::1ff --listen :9470 \\
    --agent-service-account vipward-system/vipward-agent`;

/**
 * How much the heap may grow over its live data before a collection. With much memory V8 lets it grow
 * fourfold and keeps the pages, so garbage from the start would occupy memory for ever.
 */
const heapGrowingPercent = 20;

/** What the controller takes from its process. */
export interface ControllerProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Fires `reload` when the config file and the Services are to be read again, changed or not. */
  readonly reloads: EventTarget;
}

/**
 * Runs a controller until the signal is aborted. Resolves to the exit code: 0 after a stop, 1 if it cannot
 * start here, 2 for wrong usage; the reason is on stderr.
 */
export async function runController(
  argv: readonly string[],
  { env, signal, reloads }: ControllerProcess,
): Promise<number> {
  try {
    const input = { argv, env };
    const found = await readOptions(controllerOptions, input);
    const { values, help, configPath } = found;
    if (help) {
      process.stdout.write(helpText(controllerOptions, { usage: 'vipward controller [flags]', about }));
      return 0;
    }
    const config = controllerConfig(found);
    setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`);
    using destination = openLogDestination();
    const log = createLog(values.logLevel, destination, { component: 'controller' });
    const running = await startController(config, {
      log,
      env,
      signal,
      version: readVersion(),
      logDestination: destination,
    });
    if (configPath !== undefined) {
      const onError = (error: Error) => log.error({ reason: error.message }, 'configRefused');
      const specs = controllerOptions;
      const onChange = (changed: typeof found) => {
        try {
          running.follow(controllerConfig(changed));
          log.level = changed.values.logLevel;
          log.info('configRead');
          const waiting = waitingKeys(values, changed.values);
          if (waiting.length > 0) log.warn({ waiting, next: 'start the controller again' }, 'configWaiting');
        } catch (error) {
          onError(error as Error);
        }
      };
      watchConfig({ path: configPath, specs, input, inForce: values, reloads, onChange, onError, signal });
    }
    reloads.addEventListener('reload', () => void running.readAgain(), { signal });
    await running.done;
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return say(error.message, error.exitCode);
    if (
      error instanceof DeposedError ||
      error instanceof StateError ||
      error instanceof ListenError ||
      (error as NodeJS.ErrnoException).syscall !== undefined
    ) {
      return say((error as Error).message, 1);
    }
    throw error;
  }
}

function say(message: string, exitCode: number): number {
  process.stderr.write(`vipward controller: ${message}\n`);
  return exitCode;
}
