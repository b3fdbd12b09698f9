// A firewall without change events is polled, even if one poll does not end or has no clear result.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Firewall, Glance, Steps } from '../../src/agent/firewall/firewall.ts';
import { pollKernel, wholeDiffers } from '../../src/agent/poll.ts';
import type { KernelObject } from '../../src/dialects/dialect.ts';

const rule: KernelObject = {
  id: 'table ip raw',
  content: 'ours',
  owner: null,
  service: null,
  foreign: false,
};

function glanceOf(parts: { constants: Glance['constants']; found: string; wanted: string }): Glance {
  function* of(print: string): Steps<string> {
    yield;
    return print;
  }
  const { constants, found, wanted } = parts;
  return { constants, printFound: async () => of(found), printWanted: () => of(wanted) };
}

/** A kernel whose rules and elements a test gives, and an idle agent. */
function polled(t: TestContext, constants: () => Promise<readonly KernelObject[]>, found = '') {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const state = { isAtRest: true, commits: 0, looks: 0, doubts: 0 };
  const look = (): Promise<readonly KernelObject[]> => {
    state.looks++;
    return constants();
  };
  const glance = glanceOf({ constants: look, found, wanted: '' });
  const poll = pollKernel({
    kernel: {} as never,
    firewall: { glance } as unknown as Firewall,
    loop: {
      get isAtRest() {
        return state.isAtRest;
      },
      doubt: () => {
        state.doubts++;
      },
    } as never,
    rules: {
      get commits() {
        return state.commits;
      },
      constants: () => [rule],
      elements: () => [],
    } as never,
  });
  t.after(() => poll[Symbol.dispose]());
  /** Lets this many seconds pass, with all that a poll does in each. */
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      t.mock.timers.tick(1000);
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { state, pass };
}

test('the kernel is polled every second, and rules as wanted raise no doubt', async (t) => {
  const { state, pass } = polled(t, async () => [rule]);
  await pass(25);
  assert.deepEqual([state.looks, state.doubts], [25, 0]);
});

test('elements are compared at every tenth poll', async (t) => {
  const { state, pass } = polled(t, async () => [rule], 'others');
  for (const doubts of [0, 1, 2]) {
    assert.equal(state.doubts, doubts);
    await pass(9);
    assert.equal(state.doubts, doubts);
    await pass(1);
  }
});

test('a poll that does not end is given up, and the next one detects a difference', async (t) => {
  let first = true;
  const { state, pass } = polled(t, () => {
    if (!first) return Promise.resolve([]);
    first = false;
    return new Promise(() => undefined);
  });
  await pass(30);
  assert.deepEqual([state.looks, state.doubts], [1, 0]);
  await pass(1);
  assert.deepEqual([state.looks, state.doubts], [2, 1]);
});

test('a poll that fails is repeated a second later', async (t) => {
  let tries = 0;
  const { state, pass } = polled(t, async () => {
    if (tries++ < 3) throw new Error('EINTR');
    return [];
  });
  await pass(4);
  assert.deepEqual([state.looks, state.doubts], [4, 1]);
});

test('a poll that was given up and ends late does not let a third one run beside the second', async (t) => {
  const first = Promise.withResolvers<readonly KernelObject[]>();
  const { state, pass } = polled(t, () => {
    return state.looks === 1 ? first.promise : new Promise(() => undefined);
  });
  await pass(31);
  assert.equal(state.looks, 2);
  first.resolve([rule]);
  await pass(29);
  assert.equal(state.looks, 2);
  await pass(1);
  assert.equal(state.looks, 3);
});

test('a difference beside a commit raises a doubt only at the third poll in a row', async (t) => {
  let differs = false;
  const { state, pass } = polled(t, async () => {
    if (differs) state.commits++;
    return differs ? [] : [rule];
  });
  await pass(1);
  differs = true;
  for (const doubts of [0, 1, 2]) {
    await pass(2);
    assert.equal(state.doubts, doubts);
    await pass(1);
    assert.equal(state.doubts, doubts + 1);
  }
});

test('nothing is polled while the loop is at work', async (t) => {
  const { state, pass } = polled(t, async () => []);
  state.isAtRest = false;
  await pass(5);
  assert.equal(state.looks, 0);
});

test('a firewall that sends events of changes is not polled', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const doubts: string[] = [];
  using _ = pollKernel({
    kernel: {} as never,
    firewall: { glance: null } as unknown as Firewall,
    loop: { isAtRest: true, doubt: (kind: string) => doubts.push(kind) } as never,
    rules: { commits: 0, constants: () => [rule], elements: () => [] } as never,
  });
  t.mock.timers.tick(20_000);
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(doubts, []);
});

test('if the rules are equal, the elements are compared by their fingerprint', async () => {
  const differ = (found: string, wanted: string): Promise<boolean> =>
    wholeDiffers({
      kernel: {} as never,
      firewall: { glance: glanceOf({ constants: async () => [], found, wanted }) } as never,
      rules: { constants: () => [], elements: () => [] },
    });
  assert.equal(await differ('2 of these', '2 of these'), false);
  assert.equal(await differ('2 of these', '2 of others'), true);
});

test('if the rules differ, the elements are not read', async () => {
  const printFound = (): never => assert.fail('read');
  const constants = async (): Promise<readonly KernelObject[]> => [];
  const glance: Glance = { constants, printFound, printWanted: printFound };
  const rules = { constants: () => [rule], elements: printFound };
  assert.equal(await wholeDiffers({ kernel: {} as never, firewall: { glance } as never, rules }), true);
});

test('other work runs while elements are compared', async () => {
  let hasRun = false;
  function* longWork(): Steps<string> {
    setImmediate(() => {
      hasRun = true;
    });
    const untilMs = performance.now() + 1000;
    while (!hasRun && performance.now() < untilMs) yield;
    return '';
  }
  const glance: Glance = {
    constants: async () => [],
    printFound: async () => longWork(),
    printWanted: longWork,
  };
  const rules = { constants: () => [], elements: () => [] };
  await wholeDiffers({ kernel: {} as never, firewall: { glance } as never, rules });
  assert.ok(hasRun);
});
