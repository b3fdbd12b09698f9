// The numbers in the pages for users against the code.
import { deepEqual, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
/** Numbers that a page spells out. */
const spelled: Readonly<Record<string, number>> = {
  half: 0.5,
  second: 1,
  minute: 1,
  day: 1,
  three: 3,
  five: 5,
  eight: 8,
  ten: 10,
  Ten: 10,
};

/** The value of a constant or a member, which may be written as a product. */
function inCode(path: string, name: string): number {
  const pattern = new RegExp(`\\b${name}(?:: number)?(?: =|:) ([\\d_]+(?: \\* [\\d_]+)*)[,; ]`);
  const [, product] = pattern.exec(read(`src/${path}`)) ?? [];
  ok(product !== undefined, `${name} is not in ${path}`);
  return product.split(' * ').reduce((value, factor) => value * Number(factor.replaceAll('_', '')), 1);
}

const second = 1000;
const minute = 60 * second;
const day = 24 * 60 * minute;
const kib = 1024;
const mib = 1024 * kib;
const httpServer = 'process/http.ts';
const server = 'controller/server.ts';
const files = 'controller/sources/documents.ts';
const massRemoval = 'controller/readings/mass-removal.ts';
const cluster = 'controller/sources/kubernetes';

/** What the page says, and for each number in it the file, the name and the unit of the value in the code. */
type Saying = readonly [RegExp, ...(readonly [path: string, name: string, unit?: number])[]];

const operating: readonly Saying[] = [
  [
    /A file has at most (\d+) MiB, and a YAML document (\d+) KiB/,
    [files, 'fileLimitBytes', mib],
    [files, 'documentLimitBytes', kib],
  ],
  [
    /more than half, and more than (\d+), of the VIPs, .* second reading (\d+) s later/,
    [massRemoval, 'massRemovalFew'],
    [massRemoval, 'massRemovalWaitMs', second],
  ],
  [/Controllers and agents answer (\d+) requests at once/, [httpServer, 'atOnce']],
  [/the server is answering (\d+) requests/, [httpServer, 'atOnce']],
  [/a client that reads nothing of its answer for (\d+) s/, [httpServer, 'stalledMs', second]],
  [/the body has more than (\d+) KiB/, [httpServer, 'bodyLimitBytes', kib]],
  [
    /accepts ([\d,]+) connections at once, ([\d,]+) from one address and (\w+) streams with one credential/,
    [server, 'connectionLimit'],
    [server, 'sourceLimit'],
    ['controller/stream/crowd.ts', 'mostOfNode'],
  ],
  [/A cell has (\w+) ports or Services/, ['cli/status-text.ts', 'mostInCell']],
  [/of refusals by nodes (\d+) rows/, ['cli/status-text.ts', 'mostRows']],
  [/released it, or after (\d+) s/, ['controller/owners/moves.ts', 'moveDeadlineMs', second]],
  [/wait, (\d+) s at most/, ['controller/owners/moves.ts', 'moveDeadlineMs', second]],
  [/forgets a node that has been away for a (day),/, ['controller/owners/absent-nodes.ts', 'keptForMs', day]],
  [/commits nothing for (\d+) s is `late`/, ['controller/owners/nominations.ts', 'lateAfterTicks']],
  [/once in (\d+) s at most \| \| `Standby`/, ['controller/terms.ts', 'raisePauseMs', second]],
  [/`controllers` .* up to (\w+) a name/, ['agent/stream/streams.ts', 'streamsPerName']],
  [
    /at least every (half) minute while no stream ends/,
    ['agent/stream/reconnect.ts', 'usualLookAgainMs', 60 * second],
  ],
  [/The list is at most (\d+) s old/, ['agent/answers/api.ts', 'foreignKeptMs', second]],
  [/logs `noFirewall` and tries again every (\d+) s/, ['agent/start-when-possible.ts', 'retryMs', second]],
  [/the agent looks again for (\d+) s/, ['agent/firewall/open-firewall.ts', 'ownerPatienceMs', second]],
  [/an end waits (\d+) s for the disk/, ['agent/disk/journal.ts', 'closeMs', second]],
  [/keeps `capacity` \(([\d,]+)\) samples/, ['dialects/nftables/observe.ts', 'samples']],
  [/keeps `capacity` \(([\d,]+)\) samples/, ['dialects/xtables/observe.ts', 'samples']],
];

const ruleset: readonly Saying[] = [
  [/More than ([\d,]+) elements go in several batches/, ['dialects/nftables/portions.ts', 'batchElements']],
  [/If there are more than ([\d,]+), a set with/, ['dialects/nftables/portions.ts', 'batchElements']],
  [/The set has room for ([\d,]+) ports of a family/, ['dialects/nftables/answers.ts', 'mostPorts']],
  [/The set has room for ([\d,]+) ports of a family/, ['dialects/xtables/answers.ts', 'mostPorts']],
];

const protocol: readonly Saying[] = [
  [
    /A frame has at most (\d+) MiB; .* has at most (\d+) MiB: room for ([\d,]+) VIPs/,
    ['protocol/messages.ts', 'frameLimitBytes', mib],
    ['protocol/messages.ts', 'heldFrameLimitBytes', mib],
    ['protocol/messages.ts', 'heldLimit'],
  ],
  [/sends `tick` every (second)/, ['protocol/messages.ts', 'heartbeatMs', second]],
  [/At most (\d+) Services a page/, ['protocol/messages.ts', 'pageServices']],
  [/still incomplete a (second) later/, ['controller/stream/waiting-room.ts', 'patienceMs', second]],
  [/in all or by this credential, which may have (\w+)/, ['controller/stream/crowd.ts', 'mostOfNode']],
  [/first frame is `hello`, within (\d+) s/, ['controller/run.ts', 'helloTimeoutMs', second]],
  [/sends no `welcome` within (\d+) s/, ['agent/link.ts', 'handshakeMs', second]],
  [/the agent asks again, (\w+) times in all/, ['agent/stream/session.ts', 'resyncTries']],
  [
    /place no VIP in the first (second) after the first hello, and none for ([\d.]+) s while/,
    ['controller/run.ts', 'settleMs', second],
    ['controller/run.ts', 'claimMs', second],
  ],
  [/more than ([\d,]+) above its own or above/, ['state/term.ts', 'generationLeap']],
  [/more than ([\d,]+) above that one, and a placement/, ['state/term.ts', 'generationLeap']],
  [/any raise within (\d+) s of the last one/, ['controller/terms.ts', 'raisePauseMs', second]],
  [
    /sends changes of more than (\d+) rules or (\d+) MiB as pages/,
    ['protocol/messages.ts', 'pageServices'],
    ['controller/stream/table.ts', 'frameTargetBytes', mib],
  ],
  [/Changes of more than (\d+) placements go as several/, ['protocol/messages.ts', 'pageServices']],
];

const kubernetes: readonly Saying[] = [
  [
    /At most (\d+) requests are in flight, .* at most (\d+) of them are not for a status/,
    [`${cluster}/writes.ts`, 'mostInFlight'],
    [`${cluster}/writes.ts`, 'mostBeside'],
  ],
  [/the failed write alone waits, for up to (\w+) seconds/, [`${cluster}/writes.ts`, 'usualRestMs', second]],
  [/uses it within (\w+) seconds/, [`${cluster}/writes.ts`, 'usualRestMs', second]],
  [/names at most ([\d,]+) of its Services/, [`${cluster}/virtual-ip.ts`, 'mostNamed']],
  [/(\w+) minutes later a count of repeats/, [`${cluster}/events.ts`, 'seriesMs', minute]],
  [/the status has named it for (\w+) seconds/, ['controller/kubernetes-core.ts', 'followMs', second]],
  [
    /(\w+) seconds after a controller begins/,
    ['controller/owners/deleted-nodes.ts', 'usualReturnMs', second],
  ],
  [/it waits (\d+) s before the second list/, [massRemoval, 'massRemovalWaitMs', second]],
  [/at most (\d+) addresses separated by commas/, ['controller/sources/annotations.ts', 'mostAddresses']],
  [
    /after two thirds of its (\d+) days. .* valid for (\w+) years; .* read it every (minute)/,
    [`${cluster}/shared-certificate.ts`, 'serverDays'],
    [`${cluster}/shared-certificate.ts`, 'authorityDays', 365],
    [`${cluster}/shared-certificate.ts`, 'usualLookMs', minute],
  ],
  [/has at most ([\d,]+) VIPs, ports and source ranges together/, ['protocol/messages.ts', 'stagedLimit']],
  [/at most ([\d,]+) pairs of port and range/, ['controller/sources/traffic.ts', 'portSourceLimit']],
  [
    /A VIP has at most ([\d,]+) pairs and (\d+) MiB of text/,
    ['controller/compile.ts', 'vipSizeLimit'],
    ['protocol/messages.ts', 'vipLimitBytes', mib],
  ],
];

for (const [path, sayings] of [
  ['docs/operating.md', operating],
  ['docs/ruleset.md', ruleset],
  ['docs/protocol.md', protocol],
  ['docs/kubernetes.md', kubernetes],
] as const)
  test(`the numbers of ${path} are those of the code`, () => {
    // A line may end anywhere in a sentence.
    const page = read(path).replaceAll(/\s+/g, ' ');
    for (const [pattern, ...values] of sayings) {
      const numbers = (pattern.exec(page)?.slice(1) ?? []).map((found) => {
        return spelled[found] ?? Number(found.replaceAll(',', ''));
      });
      deepEqual(
        numbers,
        values.map(([file, name, unit = 1]) => inCode(file, name) / unit),
        `${pattern}`,
      );
    }
  });
