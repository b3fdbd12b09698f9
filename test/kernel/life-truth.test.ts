// A controller with incomplete input removes nothing: agents go on serving, and `status` says why nothing
// else happens.
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitsOf, type Prober, prober, socketsOf, uncounted } from '../agent/life.ts';
import { Node, type Service, skip } from './node.ts';

const dns: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const more: readonly Service[] = Array.from({ length: 11 }, (_, index) => {
  return { name: `more${index}`, addresses: [`10.77.0.${110 + index}`], ports: ['TCP 80'] };
});

/** Traffic to both addresses of `dns`, and a check that no address and no rule has changed. */
async function serving(
  node: Node,
): Promise<{ probers: Prober[]; stays: () => Promise<void> } & AsyncDisposable> {
  await node.listen(node.node, 'udp', 53);
  await node.until('an answer', async () => (await node.probe('udp', 'fd77::100', 53)) === 'open');
  await using stack = new AsyncDisposableStack();
  const sockets = stack.use(socketsOf(node));
  const made = await sockets.made();
  const commits = stack.use(await commitsOf(node, sockets));
  const probers = [await prober(node, '10.77.0.100', 53), await prober(node, 'fd77::100', 53)];
  const kept = stack.move();
  return {
    probers,
    async stays() {
      for (const one of probers) assert.equal(await one.lost(), 0);
      assert.deepEqual(await sockets.made(), made);
      assert.equal(await commits.count(), 0);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

test('a controller that starts with a broken file removes nothing and turns agents away', {
  skip: skip || uncounted,
}, async () => {
  await using node = await Node.start({ services: [dns, ...more] });
  await using life = await serving(node);
  await node.killController('SIGKILL');
  const folder = join(node.folder, 'services');
  // All that is left to read is valid, but only a part of the truth.
  renameSync(join(folder, 'services.yaml'), join(node.folder, 'whole'));
  writeFileSync(join(folder, 'other.yaml'), 'apiVersion: v1\nkind: Service\nmetadata: {name: other\n');
  node.startController();
  await node.until('the agent is turned away', async () => {
    return (await node.status()).controllers.some(({ reason }) => reason.includes('503'));
  });
  const { reason, problems } = await node.controllerStatus();
  assert.equal(reason, 'NotComplete');
  assert.deepEqual(
    problems.map(({ file, message }) => [file, message.startsWith('not YAML')]),
    [[join(folder, 'other.yaml'), true]],
  );
  const { vips } = await node.status();
  assert.deepEqual([vips.length, vips.every(({ state }) => state === 'serving')], [13, true]);
  await life.stays();
  rmSync(join(folder, 'other.yaml'));
  renameSync(join(node.folder, 'whole'), join(folder, 'services.yaml'));
  await node.settled([dns, ...more]);
});

test('the controller holds back the removals of an emptied folder, even after a restart', {
  skip: skip || uncounted,
}, async () => {
  await using node = await Node.start({ services: [dns, ...more] });
  await using life = await serving(node);
  const file = join(node.folder, 'services', 'services.yaml');
  const held = async (): Promise<number> => {
    await node.until('the removal is held', async () => {
      const { reason, massRemoval } = await node.controllerStatus();
      return reason === 'MassRemoval' && massRemoval?.vips === 13;
    });
    return (await node.controllerStatus()).massRemoval?.secondsLeft ?? -1;
  };
  renameSync(file, join(node.folder, 'whole'));
  const secondsLeft = await held();
  await node.until('it counts down', async () => (await held()) < secondsLeft);
  // The same after a restart, which knows no more than the folder and its own records.
  await node.killController('SIGKILL');
  node.startController();
  assert.ok((await held()) > 0);
  assert.equal((await node.controllerStatus()).synced, false);
  await node.until('the stream is open', async () => (await node.status()).controllers[0]?.state === 'open');
  assert.equal((await node.status()).vips.filter(({ state }) => state === 'serving').length, 13);
  await life.stays();
  renameSync(join(node.folder, 'whole'), file);
  await node.settled([dns, ...more]);
  assert.equal((await node.controllerStatus()).massRemoval, null);
});

test('with --mass-removal now the controller removes all VIPs of an emptied folder', { skip }, async () => {
  await using node = await Node.start({
    services: [dns, ...more],
    controllerArgs: ['--mass-removal', 'now'],
  });
  rmSync(join(node.folder, 'services', 'services.yaml'));
  await node.settled([]);
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.1\d\d|fd77::100/);
});

test('an agent refuses a controller with the records of another cluster and says why', {
  skip: skip || uncounted,
}, async () => {
  await using node = await Node.start({ services: [dns, ...more] });
  await using life = await serving(node);
  await node.killController('SIGKILL');
  renameSync(join(node.folder, 'controller'), join(node.folder, 'own'));
  node.writeServices([{ name: 'other', addresses: ['10.77.0.150'], ports: ['TCP 80'] }]);
  node.startController();
  const words = /cluster: this node belongs to .*cleanup/;
  await node.until('the agent says why', async () => {
    const { controllers } = await node.status();
    return controllers.some(({ state, reason }) => state === 'refused' && words.test(reason));
  });
  assert.match(node.log, words);
  assert.equal((await node.controllerStatus()).vips[0]?.state === 'serving', false);
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.150/);
  assert.equal((await node.status()).vips.filter(({ state }) => state === 'serving').length, 13);
  await life.stays();
  await node.killController('SIGKILL');
  rmSync(join(node.folder, 'controller'), { recursive: true });
  renameSync(join(node.folder, 'own'), join(node.folder, 'controller'));
  node.writeServices([dns, ...more]);
  node.startController();
  await node.settled([dns, ...more]);
});
