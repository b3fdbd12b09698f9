// The generation that a node has obeyed: a controller that was restored from a backup may get the number of
// one that ruled after the backup was made.
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { mostWelcomed } from '../../src/controller/owners/welcomed.ts';
import { highestHeard } from '../../src/state/term.ts';
import { runningController, service } from './fixture.ts';
import { ruling } from './ruling.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };

test(
  'a hello with our generation from a node that we have not welcomed raises our generation',
  limit,
  async (t) => {
    const running = await runningController(t, { files: { 'a.yaml': service('web') } });
    const { generation } = running.status();
    const first = agentOf(t, running, 'n1');
    await first.synced();
    const again = agentOf(t, running, 'n1', { hello: { generation } });
    await again.synced();
    equal(running.status().generation, generation);
    const restored = agentOf(t, running, 'n2', { hello: { generation } });
    await restored.synced();
    equal(running.status().generation, generation + 1);
    equal((await again.untilClosed()).code, 1012);
  },
);

test('a node cannot raise the generation so high that a Lease could count no further', () => {
  const far = { generation: highestHeard - 5, n: 1 };
  const { controller } = ruling({ term: far });
  const heard = (generation: number) => controller.terms.hear({ node: 'liar', generation });
  // As docs/protocol.md says.
  equal(highestHeard, 2 ** 31 - 1_000_001);
  equal(heard(highestHeard + 1), 'impossible');
  equal(heard(highestHeard), 'raised');
  equal(controller.generation, highestHeard + 1);
});

test('a controller that may not write records does not raise its generation until it may', () => {
  let mayRaise = false;
  const { controller } = ruling({ mayRaise: () => mayRaise });
  const { generation } = controller;
  const heard = () => controller.terms.hear({ node: 'n1', generation: generation + 5 });
  equal(heard(), 'known');
  equal(controller.generation, generation);
  mayRaise = true;
  equal(heard(), 'raised');
  equal(controller.generation, generation + 6);
});

test('of very many names that were welcomed those of nodes are kept, and the others that came last', () => {
  const { controller } = ruling();
  const { generation } = controller;
  const heard = (node: string, obeyed: number) => controller.terms.hear({ node, generation: obeyed });
  controller.nodes.at('real');
  heard('real', 0);
  const names = Array.from({ length: mostWelcomed }, (_, index) => `made-up-${index}`);
  for (const name of names) heard(name, 0);
  for (const name of ['real', 'made-up-1', `made-up-${mostWelcomed - 1}`])
    equal(heard(name, generation), 'known');
  equal(heard('made-up-0', generation), 'raised');
});
