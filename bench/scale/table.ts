// The figures at scale as text: each aim beside the measured value.

import { align } from '../table.ts';
import type { OwnLag } from './lag.ts';
import type { ScaleResult } from './measure.ts';

/** The first result is with few agents, the last with all. */
export function scaleTable(results: readonly ScaleResult[]): string {
  const lines = [['agents', 'aim', 'found', 'at most']];
  const put = (agents: number, aim: string, found: number, most: number): void => {
    lines.push([String(agents + 1), aim, String(found), `${most}${found <= most ? '' : '  missed'}`]);
  };
  for (const { agents, lag, lease, writes, memoryMb, changes, ...rest } of results) {
    put(agents, 'first list to all committed, ms', rest.toCommittedMs, 10_000);
    if (agents === 0) put(agents, 'RSS at most, MB', memoryMb.most, 150);
    put(agents, 'event loop late at load, ms', lag.load.worstAtMostMs, 50);
    put(agents, 'API writes in flight', writes.mostInFlight, 16);
    put(agents, 'Lease changed hands', lease.losses, 0);
    if (changes === null || lag.changes === null) continue;
    const { controller, bare } = changes;
    const ratio = (name: 'given' | 'taken'): number =>
      Math.round((controller[name] / bare[name]) * 100) / 100;
    put(agents, 'event loop late at changes and status, ms', lag.changes.worstAtMostMs, 50);
    put(agents, 'first to last ack beside bare ws, by the agents', ratio('given'), 1.3);
    put(agents, 'first to last ack beside bare ws, by the server', ratio('taken'), 1.3);
  }
  return `${align(lines)}\n\n${results.map(factsOf).join('\n')}`;
}

function factsOf({
  services,
  agents,
  changes,
  memoryMb,
  lag,
  own,
  lease,
  writes,
  ...rest
}: ScaleResult): string {
  const facts = [
    `${services} Services, ${agents + 1} agents: ${rest.servicesMadeRate} made per second`,
    `first list ${rest.toListMs} ms after the start, all read ${rest.toSyncedMs} ms after that`,
    `RSS ${memoryMb.written} MB, at most ${memoryMb.most}`,
    `kernel of the real node: ${rest.kernel.ports} ports, ${rest.kernel.addresses} addresses`,
    `event loop over 50 ms late: ${lag.load.over50ms} of ${lag.load.looks} times`,
    `without waiting for a processor: ${ownFacts(own.load)}`,
    `it waited ${rest.loadSeconds.waited} of ${rest.loadSeconds.all} s for a processor`,
    `API writes: ${writes.count}, ${writes.rate} per second; failed ${JSON.stringify(writes.failed)}`,
    `Lease: ${lease.renewals} renewals, at most ${lease.longestGapMs} ms apart, held by ${lease.holder}`,
  ];
  if (changes !== null) {
    const { controller, bare, rounds, frameBytes } = changes;
    facts.push(
      ...(own.changes === null ? [] : [`own lag at changes and status: ${ownFacts(own.changes)}`]),
      `a change of ${frameBytes} bytes, median ms of ${rounds}: first send to last ack ${controller.whole}`,
      `first to last ack ${controller.taken} by the server, ${controller.given} by the agents`,
      `bare ws: first send to last ack ${bare.whole}; first to last ${bare.taken}, ${bare.given}`,
    );
  }
  return `${facts.join('\n  ')}\n`;
}

function ownFacts({ over50ms, worstMs, worst }: OwnLag): string {
  const looks = worst.map(({ lateMs, waitedMs, ranMs }) => {
    const [late, waited, ran] = [lateMs, waitedMs, ranMs].map(Math.round);
    return `${late} (waited ${waited}, ran ${ran})`;
  });
  return `${over50ms} times over 50 ms, at most ${worstMs}; the latest, ms: ${looks.join(', ') || 'none'}`;
}
