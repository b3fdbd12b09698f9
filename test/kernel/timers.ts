// Holds the timers of an agent, so that it does only what events and messages make it do.
import type { Node } from './node.ts';

/** Shorter timers belong to the answer to an event, such as a second try. */
const leastMs = 500;

/** Programs of the test run it before their own code: SIGUSR2 holds their timers, and lets them go on. */
const holdable = `
let late;
for (const name of ['setTimeout', 'setInterval']) {
  const real = globalThis[name];
  globalThis[name] = (call, ms, ...rest) => real(() => {
    if (late === undefined || ms < ${leastMs}) call(...rest);
    else late.push(() => call(...rest));
  }, ms);
}
process.on('SIGUSR2', () => {
  const calls = late ?? [];
  late = late === undefined ? [] : undefined;
  for (const call of calls) call();
});`;
process.env['NODE_OPTIONS'] = `--import data:text/javascript,${encodeURIComponent(holdable)}`;

/** Until it is disposed of the agent does only what events and messages make it do. */
export function holdTimers({ agentPid }: Node): Disposable {
  const signal = (): boolean => process.kill(agentPid, 'SIGUSR2');
  signal();
  return { [Symbol.dispose]: signal };
}
