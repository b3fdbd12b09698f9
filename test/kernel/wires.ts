// Three network namespaces and the cables between them:
//   client 10.77.0.9 fd77::9 --- lan 10.77.0.1 fd77::1 [node] 10.88.0.1 fd88::1 --- backend 10.88.0.2 fd88::2
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Namespace, runIn } from '../namespaces.ts';

export interface Wires {
  readonly node: Namespace;
  readonly client: Namespace;
  readonly backend: Namespace;
}

/** The node forwards between client and backend. */
export function wire(): Wires {
  const wires = { node: Namespace.make(), client: Namespace.make(), backend: Namespace.make() };
  const { node, client, backend } = wires;
  for (const where of Object.values(wires)) set(where, 'ipv6/conf/default/accept_dad', '0');
  for (const name of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) set(node, name, '1');
  const ends = [
    { link: 'lan', where: client, net: 77, host: 9 },
    { link: 'pods', where: backend, net: 88, host: 2 },
  ] as const;
  ip(
    node,
    ends.flatMap(({ link, where, net }) => [
      `link add ${link} type veth peer name ${link}0 netns /proc/${process.pid}/fd/${where.fd}`,
      ...up(link, net, 1),
    ]),
  );
  for (const { link, where, net, host } of ends) {
    const routes = [`route add default via 10.${net}.0.1`, `route add default via fd${net}::1`];
    ip(where, [...up(`${link}0`, net, host), ...routes]);
  }
  return wires;
}

function up(link: string, net: number, last: number): string[] {
  return [
    `address add 10.${net}.0.${last}/24 dev ${link}`,
    `address add fd${net}::${last}/64 dev ${link} nodad`,
    `link set ${link} up`,
  ];
}

function set(where: Namespace, name: string, value: string): void {
  where.run(() => writeFileSync(`/proc/sys/net/${name}`, value));
}

/** One process for all lines, which is much faster in an emulated machine. */
function ip(where: Namespace, lines: readonly string[]): void {
  const { status, stderr } = runIn(where, ['ip', '-batch', '-'], lines.join('\n'));
  assert.equal(status, 0, stderr);
}
