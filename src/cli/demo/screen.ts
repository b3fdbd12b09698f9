// What the demo shows: every probe with who answered and by which rule, counters, and the latency of each
// change.

import type { AgentStatus } from '../status-json.ts';
import { lagText } from '../status-text.ts';
import { plain, table } from '../table.ts';
import type { Sighting } from './peer.ts';
import type { Probe } from './plan.ts';

export interface Outcome {
  readonly probe: Probe;
  readonly sighting: Sighting;
  /** The rule that decided, in the words of the agent. */
  readonly rule: string;
  readonly isAsDeclared: boolean;
}

export interface Change {
  readonly what: string;
  /** From the rename of the file to the acknowledgement of the kernel, as the controller has seen it. */
  readonly totalMs: number;
  /** From the publication by the controller, as it says itself. */
  readonly lagMs: number | null;
}

/** How many changes are kept on the screen. */
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

  /** Draws all outcomes: over the last picture on a terminal, as lines elsewhere. */
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
