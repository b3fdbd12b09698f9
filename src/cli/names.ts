// `vipward names`, which a completion script asks while somebody types: what a word may be, one a line.

import { ask, NoAnswerError, RefusedError } from './client.ts';
import { type Surroundings, serverOf } from './settings.ts';
import type { AgentStatus, ControllerStatus } from './status-json.ts';

/** A target is what `explain` takes: an address and a port that is declared there. */
export const nameKinds = ['vips', 'nodes', 'targets'] as const;
export type NameKind = (typeof nameKinds)[number];

/** Who has pressed Tab does not wait for longer. */
const timeout = '2s';
/** What a shell may be given: it takes some characters for something to run. */
const harmless = /^[\w.:[\]/-]+$/;

/** Prints the names that the usual server knows. Says nothing where none answers: exit code 3. */
export async function runNames(kind: NameKind, { env, out }: Surroundings): Promise<number> {
  const of = { env, err: { write: () => true } };
  try {
    const names = kind === 'targets' ? await targets(of) : await controllerNames(kind, of);
    for (const name of names) if (harmless.test(name)) out.write(`${name}\n`);
    return 0;
  } catch (error) {
    if (error instanceof NoAnswerError || error instanceof RefusedError) return error.exitCode;
    throw error;
  }
}

type Asking = Pick<Surroundings, 'env' | 'err'>;

async function controllerNames(kind: 'vips' | 'nodes', around: Asking): Promise<readonly string[]> {
  const server = serverOf('controller', { timeout }, around);
  const { json } = await ask(server, { method: 'GET', path: '/api/v1/status' });
  const { vips = [], nodes = [] } = json as Partial<ControllerStatus>;
  return kind === 'vips' ? vips.map(({ address }) => address) : nodes.map(({ name }) => name);
}

async function targets(around: Asking): Promise<readonly string[]> {
  const { json } = await ask(serverOf('agent', { timeout }, around), { method: 'GET', path: '/status' });
  const { vips = [] } = json as Partial<AgentStatus>;
  return vips.flatMap(({ address, ports }) =>
    ports.map(({ protocol, port }) => {
      const host = address.includes(':') ? `[${address}]` : address;
      return `${host}:${port}${protocol === 'TCP' ? '' : `/${protocol.toLowerCase()}`}`;
    }),
  );
}
