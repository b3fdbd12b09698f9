// `vipward cleanup`: removes everything of vipward from this machine's kernel, while no agent runs.

import type { NamedInterfaces } from '../agent/cleanup.ts';
import { UsageError } from '../process/usage.ts';
import { parseList } from '../process/values.ts';
import type { Surroundings } from './settings.ts';

const defaultStateDir = '/var/lib/vipward';

export interface CleanupFlags {
  readonly state?: string;
  readonly interface?: string;
}

/** Exit code 1 if an agent runs here or something could not be removed; each line names one thing. */
export async function runCleanup(flags: CleanupFlags, around: Surroundings): Promise<number> {
  const interfaces = interfacesOf(flags, around.env['VIPWARD_INTERFACE'] || undefined);
  const stateDir = flags.state ?? (around.env['VIPWARD_STATE'] || defaultStateDir);
  const { cleanup } = await import('../agent/cleanup.ts');
  const { code, lines } = await cleanup({
    stateDir,
    interfaces,
    lockFile: around.env['XTABLES_LOCKFILE'] || undefined,
  });
  for (const line of lines) {
    if (code === 0) around.out.write(`${line}\n`);
    else around.err.write(`vipward cleanup: ${line}\n`);
  }
  return code;
}

/** `auto` means all interfaces, as for the agent. Throws UsageError for an empty list. */
function interfacesOf(flags: CleanupFlags, variable: string | undefined): NamedInterfaces | undefined {
  const where = flags.interface === undefined ? 'VIPWARD_INTERFACE' : '--interface';
  const text = flags.interface ?? variable;
  if (text === undefined) return undefined;
  const names = parseList([text]);
  if (names.length === 0) throw new UsageError(`${where}: expected names of interfaces, got nothing`);
  return names.includes('auto') ? undefined : { names, where };
}
