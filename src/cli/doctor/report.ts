// What `vipward doctor` says: one check after the other, the firewall that would be written, and one next
// step.

export interface Check {
  /** Stable; `foreign chain` comes once for each chain. */
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** What was asked, or read. */
  readonly how: string;
  /** The option of the kernel that provides it, null where none does. */
  readonly option: string | null;
  readonly next: string;
}

export interface DoctorReport {
  readonly kernel: string;
  /** What `--firewall auto` would choose; null if the agent cannot start its job here. */
  readonly firewall: 'nftables' | 'xtables' | null;
  readonly checks: readonly Check[];
  /** Rules of others, by which tool would list them; null where that could not be read. */
  readonly rules: { readonly legacy: number | null; readonly nft: number | null };
  readonly next: string;
}

export const nothingToDo = 'nothing to do';

/** A check with nothing left to do. */
export function ok(part: Omit<Check, 'result' | 'next'>): Check {
  return { ...part, result: 'ok', next: nothingToDo };
}

export function warn(part: Omit<Check, 'result'>): Check {
  return { ...part, result: 'warn' };
}

export function fail(part: Omit<Check, 'result'>): Check {
  return { ...part, result: 'fail' };
}

/** Names of checks about a dialect: while the other one serves there is no need to follow their advice. */
const alternatives: ReadonlySet<string> = new Set(['nf_tables', 'xtables raw', 'set match', 'ipset']);

/**
 * The step of the first failure, else of the first warning that is about what serves. Where both firewalls
 * are missing, the one that a command brings is nearer than another kernel.
 */
export function nextStep(checks: readonly Check[]): string {
  const failed = checks.filter(({ result }) => result === 'fail');
  const first =
    failed.find(({ name }) => !alternatives.has(name) && name !== 'module loading') ??
    failed.find(({ next }) => next.startsWith('modprobe')) ??
    failed[0] ??
    checks.find(({ result, name }) => result === 'warn' && !alternatives.has(name));
  return first?.next ?? nothingToDo;
}
