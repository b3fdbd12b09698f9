// The examples of `-o json` in docs/operating.md against what the verbs print of a real node.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const page = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8');
const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };

/** The output of a command by the page. */
function example(command: string): unknown {
  const [, json] = page.split(`$ vipward ${command} -o json\n`, 2);
  ok(json !== undefined, `${command} is not in the page`);
  return JSON.parse(json.slice(0, json.search(/^(```|\$)/m)));
}

/** Fails unless both have the same fields of the same kinds; null and an empty list may stand for any. */
function checkShape(real: unknown, wanted: unknown, at: string): void {
  if (real === null || wanted === null) return;
  deepEqual([typeof real, Array.isArray(real)], [typeof wanted, Array.isArray(wanted)], at);
  if (Array.isArray(real) && Array.isArray(wanted)) {
    if (real.length > 0 && wanted.length > 0) checkShape(real[0], wanted[0], `${at}[0]`);
  } else if (typeof real === 'object' && typeof wanted === 'object') {
    deepEqual(Object.keys(real), Object.keys(wanted), at);
    for (const [name, field] of Object.entries(wanted))
      checkShape((real as Record<string, unknown>)[name], field, `${at}.${name}`);
  }
}

test('the verbs print JSON of the same shape as the examples in docs/operating.md', {
  skip: skip || hasTool('nft', '-v'),
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--counters', '--interface', 'lan'] });
  const other =
    'table ip filter { chain INPUT { type filter hook input priority 0; policy drop\naccept\n}\n}';
  node.run('nft -f -', { input: `${other}\n` });
  const check = (command: string, code: number, words = command): void => {
    const argv = [process.execPath, program, ...words.split(' '), '-o', 'json'] as [string, ...string[]];
    const { status, stdout, stderr } = runIn(node.node, argv);
    equal(status, code, `${words}: ${stderr}`);
    checkShape(JSON.parse(stdout), example(command), command);
  };
  check('status', 0);
  check('status --agent', 0);
  check('explain 10.77.0.100:22', 1);
  check('move 10.77.0.100 node2', 0, 'move 10.77.0.100 node1');
  node.run('sysctl -w net.ipv6.conf.lan.disable_ipv6=1');
  await node.until('it is refused', async () => (await node.status()).vips.some(({ held }) => !held));
  check('diff', 1);
  await node.setServices([]);
  check('drain node2', 0, 'drain node1');
  check('undrain node2', 0, 'undrain node1');
});
