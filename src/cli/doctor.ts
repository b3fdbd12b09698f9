// `vipward doctor`: whether this kernel can run vipward, and what it lacks. It changes nothing.

import { answerChecks } from './doctor/answers.ts';
import { bypassChecks } from './doctor/bypass.ts';
import { firewallChecks } from './doctor/firewalls.ts';
import { foreignChecks } from './doctor/foreign.ts';
import { type Machine, thisMachine } from './doctor/machine.ts';
import { type Check, type DoctorReport, nextStep } from './doctor/report.ts';
import { rightChecks } from './doctor/rights.ts';
import { stateChecks } from './doctor/state.ts';
import { type Flags, outputOf, type Surroundings } from './settings.ts';
import { plain, table } from './table.ts';

/** Prints every check. Exit code 1 if and only if a check fails. */
export async function runDoctor(flags: Flags, around: Surroundings): Promise<number> {
  const output = outputOf(flags, around.env);
  using machine = thisMachine();
  const report = await examine(machine);
  around.out.write(output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : reportText(report, output));
  return report.checks.some(({ result }) => result === 'fail') ? 1 : 0;
}

export async function examine(machine: Machine): Promise<DoctorReport> {
  const rights = await rightChecks(machine);
  const mayAsk = rights.every(({ name, result }) => name !== 'CAP_NET_ADMIN' || result !== 'fail');
  const { firewall, checks } = await firewallChecks(machine, mayAsk);
  const foreign = await foreignChecks(machine);
  const all: readonly Check[] = [
    ...rights,
    ...checks,
    ...foreign.checks,
    ...(await bypassChecks(machine)),
    ...(await answerChecks(machine)),
    ...(await stateChecks(machine)),
  ].map(({ name, result, found, how, option, next }) => ({ name, result, found, how, option, next }));
  return { kernel: machine.release, firewall, checks: all, rules: foreign.rules, next: nextStep(all) };
}

/** The report for people; `wide` has the options of the kernel and how each answer was got. */
export function reportText({ kernel, firewall, checks, rules, next }: DoctorReport, output: string): string {
  const wide = output === 'wide';
  const rows = checks.map((check) => {
    const { name, result, found, how, option } = check;
    return [name, result, found, ...(wide ? [option, how] : [])].map(plain);
  });
  const head = ['CHECK', 'RESULT', 'FOUND', ...(wide ? ['OPTION', 'HOW'] : [])];
  const steps = checks
    .filter(({ result }) => result !== 'ok')
    .map((check) => `  ${check.result} ${check.name}: ${plain(check.next)}`);
  const count = (of: number | null): string => (of === null ? 'not known' : String(of));
  return [
    `kernel ${plain(kernel)}, firewall ${firewall ?? 'none'}\n\n`,
    table(head, rows),
    `\nforeign rules: ${count(rules.nft)} in nf_tables, ${count(rules.legacy)} in xtables\n`,
    steps.length === 0 ? '' : `\n${steps.join('\n')}\n`,
    `\nnext: ${plain(next)}\n`,
  ].join('');
}
