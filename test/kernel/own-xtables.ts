// Shared by the xtables tests: options, commits and dumps, and iptables and ipset as oracles.
import assert from 'node:assert/strict';
import type { KernelObjects } from '../../src/dialects/dialect.ts';
import { describe } from '../../src/dialects/xtables/describe.ts';
import { xtables } from '../../src/dialects/xtables/dialect.ts';
import type { XtObject } from '../../src/dialects/xtables/objects.ts';
import type { XtOptions } from '../../src/dialects/xtables/ruleset.ts';
import { deltaOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { hasTool, type OwnKernel } from './own-kernel.ts';

export const skip: string | false =
  cannotUnshare() ||
  hasTool('iptables-legacy', '-V') ||
  hasTool('ip6tables-legacy', '-V') ||
  hasTool('ipset', '-v');

export const plain: XtOptions = {
  places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
  fragments: true,
  localAddresses: true,
  counters: false,
  echo: true,
  observe: false,
};

/** Commits what turns `have` into `want`, of which nothing may be refused. */
export async function commit(
  { kernel }: OwnKernel,
  have: KernelObjects<XtObject>,
  want: KernelObjects<XtObject>,
  options: XtOptions = plain,
): Promise<void> {
  assert.deepEqual(await kernel.commit(xtables(options).encode(deltaOf(have, want))), []);
}

export async function found({ kernel }: OwnKernel): Promise<KernelObjects<XtObject>> {
  const dialect = xtables(plain);
  return dialect.decode(await kernel.dump(dialect.dumps));
}

/** What differs, in words short enough for a failed assertion. */
export function difference(have: KernelObjects<XtObject>, want: KernelObjects<XtObject>): string[] {
  const { remove, add } = deltaOf(have, want);
  return [
    ...remove.map((object) => `- ${describe(object)}`),
    ...add.map((object) => `+ ${describe(object)}`),
  ];
}

/** Runs a program in the namespace, which must succeed. */
export function run({ namespace }: OwnKernel, words: string, input = ''): string {
  const { status, stdout, stderr } = runIn(namespace, words.split(' ') as [string, ...string[]], input);
  assert.equal(status, 0, `${words}: ${stderr}`);
  return stdout;
}

/** All tables of both families with their counters, without the time of day. */
export function saved(own: OwnKernel): string {
  return ['iptables-legacy-save -c', 'ip6tables-legacy-save -c']
    .map((words) => run(own, words).replaceAll(/^#.*\n/gm, ''))
    .join('');
}
