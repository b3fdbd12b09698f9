// A controller without its server, whatever its source: what run.ts needs of it. file-core.ts and
// kubernetes-core.ts each make one.

import type { Log } from '../process/log.ts';
import type { Address } from '../state/address.ts';
import type { Pool } from './allocation/pools.ts';
import type { ControllerConfig } from './config.ts';
import type { Controller } from './controller.ts';
import { Readings, type ReadingsInput } from './readings/readings.ts';
import type { ReplacingInput } from './replacing.ts';
import type { ChangingPair } from './server.ts';
import type { StatusInput } from './status/status.ts';
import type { Self } from './stream/welcome.ts';

export interface CoreInput {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly massRemovalWaitMs: number;
  /** Called when the first reading is believed: waiting agents are to be sent it. */
  readonly onPublished: () => void;
  /** Called when this process must end. The server is closed, and the process prints the message last. */
  readonly onFatal: (error: Error) => void;
}

/** A report of an agent, or a completed move. */
export type CoreEvent =
  | { readonly kind: 'generationRaised'; readonly generation: number; readonly node: string }
  | { readonly kind: 'impossibleTerm'; readonly node: string; readonly address: string }
  | { readonly kind: 'moved'; readonly node: string; readonly address: Address };

export interface Core {
  readonly controller: Controller;
  readonly readings: Readings;
  /** The input of the status. */
  readonly statusInput: () => StatusInput;
  /** The certificate that the controllers of a cluster share, if the server shows it; else null. */
  readonly certificate: ChangingPair | null;
  /** When a Service that was given another address may let go of the old one. */
  readonly replaces: Pick<ReplacingInput, 'isTold' | 'followMs'>;
  /** Uses these pools as soon as that is allowed. */
  readonly usePools: (pools: readonly Pool[]) => void;
  /** True once the source was read whole: agents may connect. */
  readonly isOpen: () => boolean;
  /** What the welcome tells agents of this controller. */
  readonly self: () => Omit<Self, 'version'>;
  /** Reports an event to the operator; the log has it already. */
  readonly happened: (what: CoreEvent) => void;
  /** How many Events about the cluster were dropped because too many waited. */
  readonly droppedEvents: () => number;
  /** Called after each message of a node: what waits for nodes is checked again. */
  readonly progressed: () => void;
  /** Returns the node of an agent's ServiceAccount token, or null. Null itself where no tokens are taken. */
  readonly nodeOfToken: ((token: string) => string | null) | null;
  /** Starts reading the source. With files it resolves after the first reading. */
  readonly start: () => Promise<void>;
  /** Resolves when everything is written and stopped, after the signal was aborted. */
  readonly end: () => Promise<void>;
}

/** The readings of any source, with their log lines. */
export function makeReadings(
  parts: Pick<ReadingsInput, 'controller' | 'truth' | 'readAgain' | 'mayBelieve'> & Partial<ReadingsInput>,
  { massRemoval }: ControllerConfig,
  { log, massRemovalWaitMs, onPublished }: CoreInput,
): Readings {
  const { controller } = parts;
  return new Readings({
    ...parts,
    massRemoval,
    massRemovalWaitMs,
    onPublished: () => {
      log.info({ services: controller.allocator.services.size, vips: controller.rules.size }, 'synced');
      onPublished();
    },
    onMassRemoval: (held) => {
      log.warn({ held }, held === null ? 'massRemovalOver' : 'massRemoval');
      parts.onMassRemoval?.(held);
    },
    nowMs,
  });
}

export function nowMs(): number {
  return performance.now();
}
