// The reader of a program's log or the disk of its state stops, and nothing else does.
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeController } from '../agent/fake-controller.ts';
import { lacks } from '../agent/life.ts';
import { change, takePulse } from '../agent/pulse.ts';
import { spawnIn } from '../namespaces.ts';
import { alike, openPort, rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { attach } from './tracer.ts';
import { getText } from './traffic.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100'], ports: ['UDP 53'] };
const web: Service = { name: 'web', addresses: ['10.77.0.101'], ports: ['TCP 80'] };
const stalledMs = 10_000;
const answerWithinMs = 2500;
type Verb = 'agent' | 'controller';

/** A program in place of the node's own, and a reader of its log that can stop. */
class Logged implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #reader: Readable;
  readonly #fifo: number | undefined;
  #text = '';

  private constructor(child: ChildProcess, reader: Readable, fifo?: number) {
    this.child = child;
    this.#reader = reader;
    this.#fifo = fifo;
    reader.on('data', (part: Buffer) => {
      this.#text += `${part}`;
    });
  }

  static async instead(node: Node, verb: Verb, kind: 'FIFO' | 'socketpair'): Promise<Logged> {
    const pid = verb === 'agent' ? node.agentPid : node.controllerPid;
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    await (verb === 'agent' ? node.killAgent('SIGTERM') : node.killController('SIGTERM'));
    const start = (stdout: number | 'pipe'): ChildProcess =>
      spawnIn(node.node, argv as [string], {
        stdio: ['ignore', stdout, 'inherit'],
        timeout: 120_000,
        killSignal: 'SIGKILL',
      });
    if (kind === 'socketpair') {
      const child = start('pipe');
      return new Logged(child, child.stdout as Readable);
    }
    const path = join(node.folder, `${verb}.fifo`);
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const fifo = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const stdout = openSync(path, constants.O_WRONLY);
    const child = start(stdout);
    closeSync(stdout);
    return new Logged(child, new Socket({ fd: fifo, readable: true }), fifo);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** All complete lines so far. A line that is not JSON ends the test. */
  lines(): Record<string, unknown>[] {
    const whole = this.#text.split('\n').slice(0, -1);
    return whole.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  stop(): void {
    this.#reader.pause();
  }

  /** Fills the pipe until nothing more fits; a reader that has stopped still reads for a while. */
  async fill(): Promise<void> {
    for (let went = 1; went > 0; await sleep(20)) {
      went = 0;
      try {
        for (;;) went += writeSync(this.#fifo ?? -1, '\n'.repeat(4096));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      }
    }
  }

  goOn(): void {
    this.#reader.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
    this.#reader.destroy();
  }
}

/** The value of a metric without labels. */
async function metric(node: Node, port: number, name: string): Promise<number> {
  const text = await getText(node.node, `http://127.0.0.1:${port}/metrics`);
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

const droppedLines = 'vipward_log_lines_dropped_total';

for (const kind of ['FIFO', 'socketpair'] as const) {
  test(`an agent stops nothing but its log when the reader of its stdout stops (${kind})`, {
    skip: skip || (kind === 'socketpair' && alike),
  }, async () => {
    await using node = await Node.start({ services: [dns], agentArgs: ['--log-level', 'debug'] });
    await using agent = await Logged.instead(node, 'agent', kind);
    await node.settled([dns]);
    using controller = await FakeController.instead(node);
    const stream = await controller.next();
    stream.begin();
    // From here on it logs only acknowledgements and the VIPs that it takes.
    const times = (what: string): number => agent.lines().filter(({ event }) => event === what).length;
    await node.until('both streams are in the log', () => times('streamOpen') === 2);
    await node.until('an acknowledgement is', () => times('acknowledged') > 0);
    agent.stop();
    // A slow machine would not write enough to fill it in a minute.
    if (kind === 'FIFO') await agent.fill();
    const pulse = await takePulse(node, controller, agent.pid);
    // A machine that is busy with something else writes fewer lines in the time.
    const until = async (): Promise<boolean> => (await metric(node, 9471, droppedLines)) > 0;
    const changes = await change(controller, stream, { forMs: stalledMs, everyMs: 2, until });
    const figures = pulse.end();
    await node.until('the last change is acknowledged', () => changes.areAcknowledged());
    changes.checkKernel(node);
    const dropped = await metric(node, 9471, droppedLines);
    const said = await metric(node, 9471, 'vipward_update_latency_seconds_count');
    agent.goOn();
    const held = (await node.status()).vips.filter((vip) => vip.held).length;
    await node.until('every line is read or counted', () => {
      return times('acknowledged') + times('vipTaken') + dropped === said + held;
    });
    process.stdout.write(
      `${kind}: ${figures.words}; ${changes.count} changes, ${dropped} of ${said + held} lines dropped\n`,
    );
    assert.ok(dropped > 0, 'the pipe was never full');
    assert.ok(figures.ownSilenceMs < answerWithinMs, figures.words);
  });
}

test('a controller stops nothing but its log when the reader of its stdout stops', {
  skip: skip || alike,
}, async () => {
  await using node = await Node.start({ services: [dns] });
  await using controller = await Logged.instead(node, 'controller', 'FIFO');
  await node.settled([dns]);
  controller.stop();
  await controller.fill();
  await node.killAgent('SIGTERM');
  node.startAgent();
  await node.setServices([dns, web]);
  const dropped = await metric(node, 9470, droppedLines);
  assert.ok(dropped > 0, 'nothing was dropped');
  controller.child.kill('SIGTERM');
  const [code] = await once(controller.child, 'exit');
  assert.equal(code, 0);
  controller.goOn();
  await node.until('what was read is whole', () => controller.lines().length > 0);
});

for (const verb of ['agent', 'controller'] as const) {
  test(`changes are committed and acknowledged while the disk of the ${verb} is stalled`, {
    skip: skip || lacks('strace') || (verb === 'controller' && alike),
  }, async () => {
    await using node = await Node.start({ services: [dns] });
    await using disk = await stopDisk(node, verb === 'agent' ? node.agentPid : node.controllerPid);
    const ports = [81, 82, 83, 84, 85];
    for (const port of ports) await node.setServices([dns, { ...web, ports: [`TCP ${port}`] }]);
    assert.match(rulesOf(node), openPort('10.77.0.101', 'tcp', 85));
    assert.equal(await getText(node.node, `http://127.0.0.1:${portOf[verb]}/healthz`), 'ok\n');
    // The first write still waits, and nothing has waited for it.
    assert.deepEqual(disk.calls(), { begun: 1, ended: 0 });
    await node.until('the write ends', () => disk.calls().ended > 0);
  });
}

const portOf = { agent: 9471, controller: 9470 } as const;

/** From now on each fsync and fdatasync starts ten seconds late. */
async function stopDisk(node: Node, pid: number) {
  const calls = ['-e', 'trace=fdatasync,fsync', '-e', `inject=fdatasync,fsync:delay_enter=${stalledMs}000`];
  const tracer = await attach(node, pid, calls);
  return {
    calls() {
      const count = (pattern: RegExp): number => tracer.text().match(pattern)?.length ?? 0;
      return { begun: count(/\bf(data)?sync\(/g), ended: count(/\(DELAYED\)/g) };
    },
    [Symbol.asyncDispose]: () => tracer[Symbol.asyncDispose](),
  };
}
