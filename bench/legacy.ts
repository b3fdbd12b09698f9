// The same with xtables: the agent beside a floor of bare ipset messages, and the cost of the first rules
// beside a foreign table, which has to be rewritten with them.

import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Namespace, runIn } from '../test/namespaces.ts';
import { InProcess } from './in-process.ts';
import type { Effort } from './pair.ts';
import { isMissing } from './programs.ts';
import { vips } from './services.ts';
import { measureStraight, type StraightResult } from './straight.ts';

export interface LegacyResult {
  readonly legacy: Omit<StraightResult, 'inProcessLoadMs'> & {
    /**
     * One Service, its sets and all rules, beside `size` foreign rules in `raw`; null if
     * `iptables-legacy-restore`, which makes those, is not installed.
     */
    readonly firstInstallMs: number | null;
  };
}

export async function measureLegacy(size: number, effort: Effort): Promise<LegacyResult> {
  const firstInstallMs = isMissing('iptables-legacy-restore') ? null : await firstInstall(size);
  const { inProcessLoadMs: _, ...straight } = await measureStraight(size, effort, 'xtables');
  return { legacy: { ...straight, firstInstallMs } };
}

async function firstInstall(size: number): Promise<number> {
  const rules = Array.from({ length: size }, (_, n) => `-A PREROUTING -s ${foreign(n)} -j RETURN\n`).join('');
  run(['iptables-legacy-restore'], `*raw\n${rules}COMMIT\n`);
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-bench-'));
  const ours = await InProcess.start(folder.path, 'xtables');
  const tookMs = await ours.load(vips(1));
  await ours.agent.stop();
  run(['iptables-legacy', '-t', 'raw', '-F', 'PREROUTING']);
  return Math.round(tookMs * 10) / 10;
}

function run(argv: readonly [string, ...string[]], input = ''): void {
  using here = Namespace.current();
  const { status, stderr, error } = runIn(here, argv, input);
  if (status !== 0) throw error ?? new Error(`${argv.join(' ')}: ${stderr}`);
}

/** Addresses that no host uses. */
function foreign(n: number): string {
  return `198.${18 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}
