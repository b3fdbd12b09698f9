// A real controller on a free port, which reads real files of a folder that is removed with the test.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { type ControllerConfig, controllerConfig, controllerOptions } from '../../src/controller/config.ts';
import { type Running, startController, type Timing, usualTiming } from '../../src/controller/run.ts';
import type { Log } from '../../src/process/log.ts';
import { readOptions } from '../../src/process/options.ts';
import { until } from '../patience.ts';

const endings = new WeakMap<TestContext, AsyncDisposableStack>();

/** What a test began last is ended first, so that no controller writes to a folder that is removed. */
export function ending(context: TestContext): AsyncDisposableStack {
  const known = endings.get(context);
  if (known !== undefined) return known;
  const made = new AsyncDisposableStack();
  endings.set(context, made);
  context.after(() => made.disposeAsync());
  return made;
}

/** A folder that is removed with the test. */
export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'vipward-'));
  ending(context).defer(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface ServiceText {
  readonly namespace?: string;
  readonly ports?: readonly (number | string)[];
  readonly spec?: object;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly created?: string;
}

/** A manifest as JSON, which is YAML too. Ports are `80` or `53/UDP`. */
export function service(
  name: string,
  { namespace = 'demo', ports = [80], ...more }: ServiceText = {},
): string {
  return `${JSON.stringify(serviceObject(name, { namespace, ports, ...more }))}\n`;
}

export function serviceObject(
  name: string,
  { namespace = 'demo', ports = [80], ...more }: ServiceText = {},
): object {
  const list = ports.map((port) => {
    const [number, protocol = 'TCP'] = String(port).split('/');
    return { port: Number(number), protocol };
  });
  const created = more.created === undefined ? {} : { creationTimestamp: more.created };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, annotations: more.annotations ?? {}, ...created },
    spec: { type: 'LoadBalancer', ports: list, ...more.spec },
  };
}

export interface TestController extends Running {
  readonly services: string;
  readonly stateDir: string;
  /** Writes a file of the services folder. */
  readonly write: (file: string, ...documents: string[]) => void;
  readonly stop: () => Promise<void>;
}

export interface ControllerSetup {
  readonly services?: string;
  readonly stateDir?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly argv?: readonly string[];
  readonly timing?: Partial<Timing>;
  readonly log?: Log;
}

export const pool = '10.77.0.100-10.77.0.199';

export async function configOf(argv: readonly string[]): Promise<ControllerConfig> {
  return controllerConfig(await readOptions(controllerOptions, { argv, env: {} }));
}

export async function runningController(
  context: TestContext,
  setup: ControllerSetup = {},
): Promise<TestController> {
  const services = setup.services ?? folder(context);
  const stateDir = setup.stateDir ?? folder(context);
  for (const [file, text] of Object.entries(setup.files ?? {})) writeFileSync(join(services, file), text);
  const pools = setup.argv?.some((word) => word.startsWith('--pool')) === true ? [] : ['--pool', `p=${pool}`];
  const argv = [
    '--services',
    services,
    '--state',
    stateDir,
    '--listen',
    '127.0.0.1:0',
    ...pools,
    ...(setup.argv ?? []),
  ];
  const config = await configOf(argv);
  const stopping = new AbortController();
  const timing = { ...usualTiming, settleMs: 20, claimMs: 200, ...setup.timing };
  const running = await startController(config, {
    log: setup.log ?? pino({ level: 'silent' }),
    signal: stopping.signal,
    version: '0.0.0-test',
    logDestination: { dropped: 0 },
    timing,
  });
  const stop = () => {
    stopping.abort();
    return running.done;
  };
  ending(context).defer(stop);
  const write = (file: string, ...documents: string[]) => {
    writeFileSync(join(services, file), documents.join('---\n'));
  };
  return { ...running, services, stateDir, write, stop };
}

/** Waits until the status meets the condition. Rejects with the last status if that takes very long. */
export async function untilStatus(
  running: Running,
  condition: (status: ReturnType<Running['status']>) => unknown,
): Promise<void> {
  await until(
    `${condition}`,
    () => Boolean(condition(running.status())),
    () => JSON.stringify(running.status()),
  );
}
