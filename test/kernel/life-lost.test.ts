// A filter is gone and cannot be restored: the agent releases the addresses until the filter is back.
import { deepEqual, equal, match } from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { layout, NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST } from '../../src/dialects/nftables/constants.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { tableObject } from '../../src/dialects/nftables/objects.ts';
import { monitor, socketsOf } from '../agent/life.ts';
import { end, Namespace, runIn, spawnIn } from '../namespaces.ts';
import { isXtables, ownerless, takeAll, wordsOf } from './firewall.ts';
import { holdLock } from './hold-lock.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool, plain } from './own-kernel.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };

function holds(node: Node): string[] {
  return [...node.run('ip address show dev lan').matchAll(/(10\.77\.0\.10\d|fd77::10\d)\//g)].map(
    ([, address = '']) => address,
  );
}

const firewallName = isXtables ? 'xtables' : 'nftables';
const toPrint = skip || hasTool('nft', '--version');
/** More kernels know table owners than owners that persist. */
const unowned = toPrint || cannotOwn();

/** A lock of this file alone, because it is held for long. */
const lockFile = '/run/lost.lock';
if (isXtables) process.env['XTABLES_LOCKFILE'] = lockFile;

/** What a foreign owner makes of our table, in the words of `nft`. */
const owned: Readonly<Record<string, (words: string) => string>> = {
  'an empty table': () => 'table inet vipward { flags owner; }',
  'our table with an empty gate': (words) =>
    words
      .replace('{', '{ flags owner;')
      .replace(/(set vip4 \{[^}]*?)elements = \{[^}]*\}/, '$1')
      .replaceAll(/,\s+/g, ', ')
      .replaceAll('\n', '; '),
};

async function own(node: Node, what: string): Promise<AsyncDisposable> {
  const table = owned[what]?.(node.run('nft list table inet vipward'));
  const owner = spawnIn(node.node, ['nft', '-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(owner));
  owner.stdin?.write(`delete table inet vipward; ${table}\n`);
  await node.until('another process owns the table', () =>
    /owner/.test(node.run('nft list table inet vipward')),
  );
  return stack.move();
}

/** Legacy tables have a lock in place of an owner: only its holder can write them. */
async function lock(node: Node): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  stack.use(await holdLock(node, lockFile));
  node.run('env XTABLES_LOCKFILE=/run/another.lock iptables-legacy -w -t raw -F PREROUTING');
  return stack.move();
}

const takings = isXtables ? ['a lock'] : Object.keys(owned);

for (const what of takings) {
  test(`the agent releases its addresses while another process keeps ${what}, and takes them back`, {
    skip: isXtables ? toPrint : unowned,
  }, async () => {
    await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
    await using taker = await (isXtables ? lock(node) : own(node, what));
    await node.until('nothing is held without its filter', () => holds(node).length === 0);
    const told = async (): Promise<boolean> =>
      (await node.controllerStatus()).vips.every(({ state }) => state !== 'serving');
    await node.until('the controller knows', told);
    const { vips, problems, inSync } = await node.status();
    deepEqual(
      vips.map(({ held, state }) => [held, state]),
      [
        [false, 'pending'],
        [false, 'pending'],
      ],
    );
    equal(inSync, false);
    match(problems.join(), isXtables ? /EAGAIN: cannot take the lock \/run\/lost\.lock/ : /EPERM/);
    await taker[Symbol.asyncDispose]();
    await node.until('both are back', () => holds(node).length === 2);
    await node.settled([web]);
  });
}

test('an agent replaces foreign rules in place of its own before it has reached a controller', {
  skip: toPrint,
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
  const before = wordsOf(node);
  await node.killController('SIGTERM');
  await node.killAgent('SIGTERM');
  takeAll(node);
  if (isXtables) node.run('ipset create vipward-vip4 hash:net maxelem 8');
  else node.run('nft -f -', { input: 'table inet vipward {\nset vip4 { type mark; }\n}\n' });
  node.startAgent();
  await node.until('both are served', async () => {
    const { vips } = await node.status();
    return vips.length === 2 && vips.every(({ state }) => state === 'serving');
  });
  deepEqual(wordsOf(node), before);
  equal(holds(node).length, 2);
});

test('an agent whose table has a foreign owner removes its unguarded VIPs and exits', {
  skip: isXtables ? ownerless : unowned,
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
  await node.killAgent('SIGKILL');
  node.run('ip address add 10.77.0.101/32 dev lan');
  const owner = spawnIn(node.node, ['nft', '-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
  owner.stdin?.write('delete table inet vipward; table inet vipward { flags owner; }\n');
  await node.until('another process owns the table', () =>
    /owner/.test(node.run('nft list table inet vipward')),
  );
  node.startAgent();
  await node.until('the agent has exited', () =>
    /vipward agent: table inet vipward belongs to/.test(node.log),
  );
  deepEqual(holds(node), ['10.77.0.101']);
  match(node.log, /unguardedLetGo/);
  owner.stdin?.end();
  await once(owner, 'exit');
  node.startAgent();
  await node.until('both are back', () => holds(node).length === 3);
  await node.settled([web]);
});

test('an agent keeps its addresses while it waits for the owner of its table to exit', {
  skip: skip || ownerless,
}, async () => {
  await using node = await Node.start({ services: [web] });
  await node.killAgent('SIGKILL');
  const before = holds(node);
  await using heard = await monitor(node, 'ip');
  const sockets = socketsOf(node);
  const table = tableObject(NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST, layout, true);
  deepEqual(await sockets.kernel.commit(nftables(plain).encode({ remove: [], add: [table] })), []);
  node.startAgent();
  await node.until('the agent waits', () =>
    /"reason":"table inet vipward belongs.*"tableOwned"/.test(node.log),
  );
  sockets[Symbol.dispose]();
  await node.settled([web]);
  deepEqual(holds(node), before);
  deepEqual(
    (await heard.end()).filter((line) => /^Deleted/.test(line)),
    [],
  );
});

test('an agent that waits for the owner of its table ends at SIGTERM and keeps its addresses', {
  skip: skip || ownerless,
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
  await node.killAgent('SIGKILL');
  const before = holds(node);
  const owner = spawnIn(node.node, ['nft', '-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
  owner.stdin?.write('delete table inet vipward; table inet vipward { flags owner; }\n');
  await node.until('another process owns the table', () =>
    /owner/.test(node.run('nft list table inet vipward')),
  );
  node.startAgent();
  await node.until('the agent waits', () => /"tableOwned"/.test(node.log));
  const code = await node.killAgent('SIGTERM');
  owner.stdin?.end();
  await once(owner, 'exit');
  deepEqual([code, holds(node)], [0, before]);
});

test('an agent without its journal keeps guarded VIPs and removes unguarded ones', {
  skip: toPrint,
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
  await node.killController('SIGTERM');
  const startWithout = async (more: () => void): Promise<void> => {
    await node.killAgent('SIGTERM');
    rmSync(join(node.folder, 'agent'), { recursive: true });
    more();
    node.startAgent();
    await node.until(
      'the agent has read the kernel',
      async () => (await node.status()).firewall === firewallName,
    );
  };
  await startWithout(() => {});
  equal(holds(node).length, 2);
  await startWithout(() => takeAll(node));
  equal(holds(node).length, 0);
  node.startController();
  await node.until('both are back', () => holds(node).length === 2);
  await node.settled([web]);
});

/** Why no process can own a table of nf_tables here, or false. `nft --check` commits nothing. */
function cannotOwn(): string | false {
  using here = Namespace.current();
  const { status, stderr } = runIn(here, ['nft', '--check', 'add table inet owned { flags owner; }']);
  return status !== 0 && `this kernel has no table owners: ${stderr.split('\n')[0]}`;
}
