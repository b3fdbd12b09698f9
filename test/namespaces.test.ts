// What is a reason to skip the tests that need a namespace, and what is a failure of theirs.
import { equal, match, throws } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotUnshare } from './namespaces.ts';

const source = fileURLToPath(new URL('namespaces.ts', import.meta.url));
const skip =
  cannotUnshare() || (spawnSync('setpriv', ['--version']).error !== undefined && 'setpriv is not there');

/** What a process prints that has no rights, and hears this about namespaces. */
function unshareAsNobody(said: string): { status: number | null; stdout: string; stderr: string } {
  const code = `import { cannotUnshare } from '${source}'; console.log(cannotUnshare());`;
  const node = [process.execPath, '--input-type=module', '-e', code];
  const options = { encoding: 'utf8', env: { ...process.env, VIPWARD_TEST_NAMESPACES: said } } as const;
  return spawnSync('setpriv', ['--bounding-set', '-all', '--inh-caps', '-all', ...node], options);
}

test('an addon that is not there is no reason to skip', () => {
  const broken = () => {
    throw new Error('Cannot find module namespaces.node');
  };
  for (const isProved of [true, false])
    throws(() => cannotUnshare({ make: broken, isProved }), /Cannot find/);
});

test('that the kernel refuses is a reason, unless it has made some before', { skip }, () => {
  const refused = unshareAsNobody('');
  equal(refused.status, 0, refused.stderr);
  match(refused.stdout, /^unshare\(CLONE_NEWNET\): errno 1 /);
  const failed = unshareAsNobody('made');
  equal(failed.status, 1, failed.stdout);
  match(failed.stderr, /unshare\(CLONE_NEWNET\): errno 1 /);
});
