// Where a server listens: on all addresses by default. If it cannot listen the error has the remedy.
import { equal, match, rejects } from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { ListenError, listen } from '../../src/process/listen.ts';
import type { HostPort } from '../../src/process/values.ts';

function server(t: TestContext): Server {
  const made = createServer();
  t.after(() => made.close());
  return made;
}

/** A kernel that was started with ipv6.disable=1 makes no IPv6 socket. */
function withoutIpv6(made: Server): { readonly hosts: (string | undefined)[] } {
  const hosts: (string | undefined)[] = [];
  Object.assign(made, {
    listen(_: number, host: string | undefined, __: unknown, done: () => void) {
      hosts.push(host);
      if (host === undefined || !host.includes(':')) return done();
      const error = Object.assign(new Error('listen EAFNOSUPPORT'), { code: 'EAFNOSUPPORT' });
      made.emit('error', error);
    },
  });
  return { hosts };
}

test('an omitted host is left to node:net, which works on kernels without IPv6', async (t) => {
  const at: HostPort = { host: undefined, port: 0 };
  const real = server(t);
  await listen(real, { flag: '--listen', at });
  match(JSON.stringify(real.address()), /"address":"(::|0\.0\.0\.0)"/);
  const old = server(t);
  const { hosts } = withoutIpv6(old);
  await listen(old, { flag: '--listen', at, backlog: 5 });
  equal(hosts[0], undefined);
  const refused = listen(old, { flag: '--listen', at: { host: '::', port: 9470 } });
  await rejects(refused, /--listen \[::\]:9470: .*give an IPv4 address, or :9470/);
});

test('a port that is in use is named with the remedy', async (t) => {
  const first = server(t);
  await listen(first, { flag: '--listen', at: { host: '127.0.0.1', port: 0 } });
  const { port } = first.address() as { port: number };
  const second = listen(server(t), { flag: '--metrics-listen', at: { host: '127.0.0.1', port } });
  await rejects(second, (error: Error) => {
    equal(error instanceof ListenError, true);
    match(error.message, new RegExp(`^--metrics-listen 127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*; end what`));
    return true;
  });
});
