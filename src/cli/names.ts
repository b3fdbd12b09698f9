// `vipward names`: prints the possible values of a word, one per line, for a shell's completion script.

import { NoAnswerError, RefusedError } from './answer.ts';
import { ask } from './client.ts';
import { type Surroundings, serverOf } from './settings.ts';
import { agentStatus, controllerStatus } from './status-json.ts';

/** A target is an argument of `explain`: an address and a port declared on it. */
export const nameKinds = ['vips', 'nodes', 'targets'] as const;
export type NameKind = (typeof nameKinds)[number];

/** The longest that a user who presses Tab should wait. */
const timeout = '2s';
/** The characters that are safe in a completion; a shell would interpret some others. */
const harmless = /^[\w.:[\]/-]+$/;

/** Prints the names that the default server knows. Without an answer it prints nothing: exit code 3. */
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
  const question = { method: 'GET', path: '/api/v1/status', shape: controllerStatus } as const;
  const { vips, nodes } = (await ask(server, question)).json;
  return kind === 'vips' ? vips.map(({ address }) => address) : nodes.map(({ name }) => name);
}

async function targets(around: Asking): Promise<readonly string[]> {
  const question = { method: 'GET', path: '/status', shape: agentStatus } as const;
  const { vips } = (await ask(serverOf('agent', { timeout }, around), question)).json;
  return vips.flatMap(({ address, ports }) =>
    ports.map(({ protocol, port }) => {
      const host = address.includes(':') ? `[${address}]` : address;
      return `${host}:${port}${protocol === 'TCP' ? '' : `/${protocol.toLowerCase()}`}`;
    }),
  );
}
