// The demo's output: every probe with its answer and the deciding rule, counters, and the latency of each
// change.

import type { AgentStatus } from '../status-json.ts';
import { lagText } from '../status-text.ts';
import { plain, table } from '../table.ts';
import type { Sighting } from './peer.ts';
import type { Probe } from './plan.ts';

export interface Outcome {
  readonly probe: Probe;
  readonly sighting: Sighting;
  /** The deciding rule in the agent's words. */
  readonly rule: string;
  readonly isAsDeclared: boolean;
}

export interface Change {
  readonly what: string;
  /** From the rename of the file to the kernel's acknowledgement, as seen by the controller. */
  readonly totalMs: number;
  /** From the controller's publication, as it reports itself. */
  readonly lagMs: number | null;
}

/** The number of changes that the screen keeps. */
const shownChanges = 5;

export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #isLive: boolean;
  readonly #changes: Change[] = [];

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#isLive = out.isTTY === true;
  }

  say(line: string): void {
    this.#out.write(`${line}\n`);
  }

  changed(change: Change): void {
    this.#changes.push(change);
    if (!this.#isLive) this.say(changeText(change));
  }

  /** Draws all outcomes: over the previous picture on a terminal, otherwise as lines. */
  draw(outcomes: readonly Outcome[], agent: AgentStatus): void {
    const rows = outcomes.map((outcome) => rowOf(outcome, agent));
    const head = ['', 'ADDRESS', 'PORT', 'WHY', 'EXPECTED', 'SAW', 'PACKETS', 'RULE'];
    const wrong = outcomes.filter(({ isAsDeclared }) => !isAsDeclared).length;
    const dropped = agent.vips.map((vip) => `${plain(vip.address)} ${vip.dropped ?? '-'}`).join(', ');
    const lines = [
      table(head, rows),
      `dropped packets: ${dropped}`,
      `${outcomes.length} probes, ${wrong === 0 ? 'all as declared' : `${wrong} NOT as declared`}`,
    ];
    if (!this.#isLive) {
      this.say(`\n${lines.join('\n')}`);
      return;
    }
    const changes = this.#changes.slice(-shownChanges).map(changeText);
    const foot = ['', ...changes, '', 'Ctrl-C ends the demo and removes everything.'];
    this.#out.write(`\u001b[H\u001b[2J${[...lines, ...foot].join('\n')}\n`);
  }
}

function rowOf({ probe, sighting, rule, isAsDeclared }: Outcome, agent: AgentStatus): string[] {
  const { address, protocol, port } = probe.endpoint;
  const vip = agent.vips.find((each) => each.address === address);
  const counted = vip?.ports.find((each) => each.protocol === protocol && each.port === port);
  const saw = sighting.by === null ? sighting.words : `${sighting.by} in ${sighting.ms.toFixed(1)} ms`;
  const expected = probe.expected ?? 'nobody';
  const mark = isAsDeclared ? 'ok' : 'NO';
  const packets = typeof counted?.packets === 'number' ? String(counted.packets) : '-';
  return [mark, address, `${port}/${protocol.toLowerCase()}`, probe.why, expected, saw, packets, rule].map(
    plain,
  );
}

function changeText({ what, totalMs, lagMs }: Change): string {
  const lag = lagMs === null ? '' : `, ${lagText(lagMs)} of that from controller to kernel and back`;
  return `${what}: in the kernel ${totalMs.toFixed(1)} ms after the file was written${lag}`;
}
