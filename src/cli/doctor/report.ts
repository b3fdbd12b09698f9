// The report of `vipward doctor`: its checks, the firewall that an agent would use, and one next step.

export interface Check {
  /** Stable; there is one `foreign chain` for each such chain. */
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** The request that was sent or the file that was read. */
  readonly how: string;
  /** The kernel option that provides the feature; null if none does. */
  readonly option: string | null;
  readonly next: string;
}

export interface DoctorReport {
  readonly kernel: string;
  /** The choice of `--firewall auto`; null if the agent cannot work here. */
  readonly firewall: 'nftables' | 'xtables' | null;
  readonly checks: readonly Check[];
  /** The number of foreign rules by the tool that lists them; null if it could not be read. */
  readonly rules: { readonly legacy: number | null; readonly nft: number | null };
  readonly next: string;
}

export const nothingToDo = 'nothing to do';

/** A check without a next step. */
export function ok(part: Omit<Check, 'result' | 'next'>): Check {
  return { ...part, result: 'ok', next: nothingToDo };
}

export function warn(part: Omit<Check, 'result'>): Check {
  return { ...part, result: 'warn' };
}

export function fail(part: Omit<Check, 'result'>): Check {
  return { ...part, result: 'fail' };
}

/** Checks of one firewall; their advice can be ignored while the other firewall works. */
const alternatives: ReadonlySet<string> = new Set(['nf_tables', 'xtables raw', 'set match', 'ipset']);

/**
 * The step of the first failure, or else of the first warning that is not about the unused firewall. If both
 * firewalls are missing, the one that a command can load comes before the one that needs another kernel.
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
