// A VIP that the first of two nodes serves and the second could take.

import type { TestContext } from 'node:test';
import type { Timing } from '../../src/controller/run.ts';
import { runningController, service, type TestController, untilStatus } from './fixture.ts';
import { agentOf, type TestAgent } from './test-agent.ts';

export interface TwoNodes {
  readonly running: TestController;
  /** It serves 10.77.0.100. */
  readonly old: TestAgent;
  /** It has the rules of that VIP. */
  readonly next: TestAgent;
}

export async function twoNodes(context: TestContext, timing: Partial<Timing> = {}): Promise<TwoNodes> {
  const running = await runningController(context, { files: { 'a.yaml': service('web') }, timing });
  const old = agentOf(context, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const next = agentOf(context, running, 'n2');
  await next.synced();
  await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
  return { running, old, next };
}
