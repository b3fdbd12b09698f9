// The bounds that the pages for users name are those of the code.
import { equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mostInCell, mostRows } from '../src/cli/status-text.ts';
import { followMs } from '../src/controller/kubernetes-core.ts';
import { keptForMs } from '../src/controller/owners/absent-nodes.ts';
import { usualReturnMs } from '../src/controller/owners/deleted-nodes.ts';
import { moveDeadlineMs } from '../src/controller/owners/moves.ts';
import { lateAfterTicks } from '../src/controller/owners/nominations.ts';
import { massRemovalFew, massRemovalWaitMs } from '../src/controller/readings/mass-removal.ts';
import { usualTiming } from '../src/controller/run.ts';
import { connectionLimit, sourceLimit } from '../src/controller/server.ts';
import { seriesMs } from '../src/controller/sources/kubernetes/events.ts';
import { mostWaitMs } from '../src/controller/sources/kubernetes/precedence.ts';
import { mostNamed } from '../src/controller/sources/kubernetes/virtual-ip.ts';
import { mostBeside, mostInFlight } from '../src/controller/sources/kubernetes/writes.ts';
import { portSourceLimit } from '../src/controller/sources/traffic.ts';
import { mostOfNode, unheardLimitBytes } from '../src/controller/stream/crowd.ts';
import { raisePauseMs } from '../src/controller/terms.ts';
import { usualAnswerLimits } from '../src/process/http.ts';
import {
  frameLimitBytes,
  heartbeatMs,
  heldFrameLimitBytes,
  heldLimit,
  limits,
  pageServices,
  stagedLimit,
} from '../src/protocol/messages.ts';

const MiB = 1024 * 1024;
const second = 1000;

/** Of each page: the words, and what the code has against what they say. */
const pages: Readonly<Record<string, readonly (readonly [string, number, number])[]>> = {
  'docs/operating.md': [
    ['answer 64 requests at once', usualAnswerLimits.atOnce, 64],
    ['reads nothing of its answer for 30 s', usualAnswerLimits.stalledMs, 30 * second],
    ['accepts 2,000 connections at once', connectionLimit, 2000],
    ['1,500 from one address', sourceLimit, 1500],
    ['eight streams with one credential', mostOfNode, 8],
    ['at most 48 MiB from all streams before their `hello`', unheardLimitBytes, 48 * MiB],
    ['eight ports or Services of a VIP', mostInCell, 8],
    ['of refusals by nodes 20 rows', mostRows, 20],
    ['forgets a node that has been away for a day', keptForMs, 24 * 60 * 60 * second],
    ['or after 60 s', moveDeadlineMs, 60 * second],
    ['commits nothing for 10 s', lateAfterTicks * heartbeatMs, 10 * second],
    ['once in 10 s at most', raisePauseMs, 10 * second],
    ['and more than 10, of', massRemovalFew, 10],
    ['a second reading 30 s later', massRemovalWaitMs, 30 * second],
    ['at most 1,000', limits.ofNode, 1000],
  ],
  'docs/kubernetes.md': [
    ['At most 16 requests are in flight', mostInFlight, 16],
    ['at most 14 of them are not for a status', mostBeside, 14],
    ['names at most 1,024 of its Services', mostNamed, 1024],
    ['five minutes later a count of repeats', seriesMs, 5 * 60 * second],
    ['at most 20,000 pairs of port and range', portSourceLimit, 20_000],
    ['the status has named it for five seconds', followMs, 5 * second],
    ['Ten seconds after a controller begins to lead', usualReturnMs, 10 * second],
    ['at most 500,000 VIPs, ports and source ranges together', stagedLimit, 500_000],
  ],
  'docs/protocol.md': [
    ['A frame has at most 4 MiB', frameLimitBytes, 4 * MiB],
    ['has at most 12 MiB', heldFrameLimitBytes, 12 * MiB],
    ['room for 100,000 VIPs', heldLimit, 100_000],
    ['first frame is `hello`, within 5 s', usualTiming.helloTimeoutMs, 5 * second],
    ['sends `tick` every second', heartbeatMs, second],
    ['At most 500 Services a page', pageServices, 500],
  ],
  'CHANGELOG.md': [['at most ten seconds later', mostWaitMs, 10 * second]],
};

for (const [name, rows] of Object.entries(pages))
  test(`the bounds in ${name} are those of the code`, () => {
    const page = readFileSync(new URL(`../${name}`, import.meta.url), 'utf8').replace(/\s+/g, ' ');
    for (const [words, value, said] of rows) {
      ok(page.includes(words), words);
      equal(value, said, words);
    }
  });
