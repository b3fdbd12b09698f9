// Which errors skip the tests that need a namespace, and which fail them.
import { equal, match, throws } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotUnshare } from './namespaces.ts';

const source = fileURLToPath(new URL('namespaces.ts', import.meta.url));
const skip =
  cannotUnshare() || (spawnSync('setpriv', ['--version']).error !== undefined && 'setpriv is not installed');

/** The output of cannotUnshare in a process without rights, with this VIPWARD_TEST_NAMESPACES. */
function unshareAsNobody(said: string): { status: number | null; stdout: string; stderr: string } {
  const code = `import { cannotUnshare } from '${source}'; console.log(cannotUnshare());`;
  const node = [process.execPath, '--input-type=module', '-e', code];
  const options = { encoding: 'utf8', env: { ...process.env, VIPWARD_TEST_NAMESPACES: said } } as const;
  return spawnSync('setpriv', ['--bounding-set', '-all', '--inh-caps', '-all', ...node], options);
}

test('a missing addon is no reason to skip', () => {
  const broken = () => {
    throw new Error('Cannot find module namespaces.node');
  };
  for (const isProved of [true, false])
    throws(() => cannotUnshare({ make: broken, isProved }), /Cannot find/);
});

test('a refusal of the kernel is a reason to skip, unless it has made namespaces before', { skip }, () => {
  const refused = unshareAsNobody('');
  equal(refused.status, 0, refused.stderr);
  match(refused.stdout, /^unshare\(CLONE_NEWNET\): errno 1 /);
  const failed = unshareAsNobody('made');
  equal(failed.status, 1, failed.stdout);
  match(failed.stderr, /unshare\(CLONE_NEWNET\): errno 1 /);
});
