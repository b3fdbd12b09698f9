// `vipward cleanup`: takes everything of ours out of this machine's kernel, while no agent runs.

import type { Surroundings } from './settings.ts';

const defaultStateDir = '/var/lib/vipward';

export interface CleanupFlags {
  readonly state?: string;
  readonly interface?: string;
}

/** Exit code 1 if an agent runs here or something could not be taken away; each line says what. */
export async function runCleanup(
  { state, interface: names }: CleanupFlags,
  around: Surroundings,
): Promise<number> {
  const { cleanup } = await import('../agent/cleanup.ts');
  const stateDir = state ?? (around.env['VIPWARD_STATE'] || defaultStateDir);
  const { code, lines } = await cleanup({
    ...{ stateDir, interfaces: interfacesOf(names ?? (around.env['VIPWARD_INTERFACE'] || undefined)) },
    lockFile: around.env['XTABLES_LOCKFILE'] || undefined,
  });
  for (const line of lines) {
    if (code === 0) around.out.write(`${line}\n`);
    else around.err.write(`vipward cleanup: ${line}\n`);
  }
  return code;
}

/** `auto` is what the agent calls all of them. */
function interfacesOf(names: string | undefined): string[] | undefined {
  const list = names
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  return list === undefined || list.includes('auto') ? undefined : list;
}
