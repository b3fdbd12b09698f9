// A process that holds the lock of legacy tables, so that no other program can write them.
import { end, runIn, spawnIn } from '../namespaces.ts';
import type { Node } from './node.ts';

/** Longer than any test; a holder that its test does not end exits by itself. */
const longestSeconds = 300;

/** Holds a lock file from now on, until the result is disposed of. */
export async function holdLock(node: Node, file: string): Promise<AsyncDisposable> {
  const argv = ['flock', '-F', file, 'sleep', `${longestSeconds}`] as const;
  const holder = spawnIn(node.node, argv, { stdio: 'ignore' });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(holder));
  const isHeld = (): boolean => runIn(node.node, ['flock', '-n', file, 'true']).status !== 0;
  await node.until('the lock is held', isHeld);
  return stack.move();
}
