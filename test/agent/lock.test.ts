// One agent per host, even if another process holds its lock name: a holder of root or of our own user counts
// as an agent, and no other one does.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tracing } from '../kernel/tracer.ts';
import { until } from '../patience.ts';
import { Alone, cannotChangeUser, limit } from './alone.ts';
import { lacks } from './life.ts';

const asAnother = { ...limit, skip: limit.skip || cannotChangeUser() };
const allNames = ['', '.1', '.2', '.3', '.4', '.5', '.6', '.7'];

/** A process of another user that listens on lock names, and answers as an agent does. */
async function squat(alone: Alone, suffixes: readonly string[]): Promise<number> {
  const program = `
    let left = ${suffixes.length};
    for (const suffix of ${JSON.stringify(suffixes)})
      require('node:net').createServer((socket) => socket.on('error', () => undefined).end('1\\n'))
        .listen('\\0vipward-agent' + suffix, () => --left || console.log('there'));
  `;
  const child = alone.spawn('setpriv', '--reuid', '65534', '--clear-groups', process.execPath, '-e', program);
  if (child.stdout !== null) await once(child.stdout, 'data');
  return child.pid ?? 0;
}

test(
  'the agent logs a process of another user that holds its lock name, and takes the next name',
  asAnother,
  async () => {
    await using alone = new Alone();
    const pid = await squat(alone, ['']);
    const agent = alone.start();
    await agent.says('serving');
    const reason = `@vipward-agent is held by pid ${pid} of uid 65534, which is not an agent: end it`;
    assert.deepEqual(
      agent.events('lockSquatted').map((line) => line['reason']),
      [reason],
    );
    const second = alone.start('--listen', '127.0.0.1:9475');
    assert.equal(await second.ended(), 1);
    assert.match(second.stderr, new RegExp(`another vipward agent runs here \\(pid ${agent.pid}\\)`));
    const { code, stderr } = alone.verb('cleanup', '--state', alone.folder);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`an agent runs here \\(pid ${agent.pid}\\)`));
  },
);

test('an agent serves even if another user holds all lock names', asAnother, async () => {
  await using alone = new Alone();
  await squat(alone, allNames);
  const agent = alone.start();
  await agent.says('serving');
  assert.equal(agent.events('lockSquatted').length, allNames.length);
  const { code, stdout } = alone.verb('doctor', '-o', 'json');
  assert.notEqual(code, null);
  assert.doesNotMatch(stdout, /runs here/);
});

test('cleanup runs even if another user holds the lock name', asAnother, async () => {
  await using alone = new Alone();
  await squat(alone, ['']);
  const { code, stdout } = alone.verb('cleanup', '--state', alone.folder);
  assert.deepEqual([code, stdout], [0, 'found nothing of vipward\n']);
});

/** A process of our own user that holds the lock name, with a backlog of one connection. */
async function keeper(alone: Alone): Promise<ChildProcess> {
  const program = `
    require('node:net').createServer((socket) => socket.destroy())
      .listen({ path: '\\0vipward-agent', backlog: 1 }, () => console.log('there'));
  `;
  const child = alone.spawn(process.execPath, '-e', program);
  if (child.stdout !== null) await once(child.stdout, 'data');
  return child;
}

/** Connects to the lock name until its backlog is full. */
async function crowd(alone: Alone): Promise<void> {
  const program = `
    import socket, time
    calls = []
    try:
        while True:
            calls.append(socket.socket(socket.AF_UNIX))
            calls[-1].setblocking(False)
            calls[-1].connect(b'\\0vipward-agent')
    except BlockingIOError:
        print('full', flush=True)
    time.sleep(60)
  `.replaceAll('\n    ', '\n');
  const child = alone.spawn('python3', '-c', program);
  if (child.stdout !== null) await once(child.stdout, 'data');
}

test('an agent that is too busy to answer for a moment still keeps a second one from starting', {
  ...limit,
  skip: limit.skip || lacks('strace'),
}, async () => {
  await using alone = new Alone();
  const first = await keeper(alone);
  first.kill('SIGSTOP');
  await crowd(alone);
  const trace = join(alone.folder, 'trace');
  alone.before = tracing(trace, ['-D', '-e', 'trace=connect']);
  const second = alone.start();
  await until('it has asked twice', () => (readFileSync(trace, 'utf8').match(/ EAGAIN /g)?.length ?? 0) > 1);
  first.kill('SIGCONT');
  assert.equal(await second.ended(), 1);
  assert.match(second.stderr, new RegExp(`another vipward agent runs here \\(pid ${first.pid}\\)`));
});

test('the agent skips a lock name that is bound without a listener', limit, async () => {
  await using alone = new Alone();
  const program = `
    import socket, time
    held = socket.socket(socket.AF_UNIX)
    held.bind(b'\\0vipward-agent')
    print('there', flush=True)
    time.sleep(60)
  `.replaceAll('\n    ', '\n');
  const child = alone.spawn('python3', '-c', program);
  if (child.stdout !== null) await once(child.stdout, 'data');
  const agent = alone.start();
  await agent.says('serving');
  const [line] = agent.events('lockSquatted');
  assert.match(String(line?.['reason']), /^@vipward-agent is held by a process that does not answer/);
});
