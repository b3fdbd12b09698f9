// A second node of a cluster, on one link with the first and with its client: a switch between the three, and
// an agent that comes to the controller of the first through this process.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Namespace, runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import type { NodeInCluster } from './node-in-cluster.ts';
import { Program } from './processes.ts';
import { Relay } from './relay.ts';

const controller = { host: '127.0.0.1', port: 9470 };

export class SecondNode implements AsyncDisposable {
  readonly node: Namespace = Namespace.make();
  readonly #between: Namespace = Namespace.make();
  #relay: Relay | undefined;
  #agent: Program | undefined;

  /** The first node and its client have been wired to each other so far. */
  static async start(all: NodeInCluster): Promise<SecondNode> {
    const made = new SecondNode();
    made.#wire(all.node.client);
    // Neither node forwards to the other what a client has sent to the wrong one.
    for (const where of [made.node, all.node.node])
      for (const name of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
        where.run(() => writeFileSync(`/proc/sys/net/${name}`, '0'));
    const at = { where: made.node, ...controller };
    made.#relay = await Relay.open(at, { where: all.node.node, ...controller });
    const words = ['agent', '--node', 'node2', '--controller', 'ws://127.0.0.1:9470', '--log-level', 'warn'];
    const more = ['--allow', '10.77.0.0/24,fd77::/64', '--state', join(all.cluster.folder, 'agent2')];
    const log = join(all.cluster.folder, 'agent2.log');
    made.#agent = new Program(made.node, [process.execPath, program, ...words, ...more], log);
    return made;
  }

  /** The end of its agent's log. */
  get words(): string {
    return this.#agent?.words ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.end('SIGTERM');
    this.#relay?.[Symbol.dispose]();
    for (const namespace of [this.node, this.#between]) namespace[Symbol.dispose]();
  }

  #wire(client: Namespace): void {
    ip(client, `link set lan0 netns ${pathOf(this.#between)}`);
    ip(this.#between, 'link add switch type bridge mcast_snooping 0', 'link set switch up');
    ip(this.#between, 'link set lan0 master switch up');
    for (const [where, link, last] of [
      [client, 'lan0', 9],
      [this.node, 'lan', 2],
    ] as const) {
      const port = `to${last}`;
      ip(this.#between, `link add ${port} type veth peer name ${link} netns ${pathOf(where)}`);
      ip(this.#between, `link set ${port} master switch up`);
      const addresses = [`10.77.0.${last}/24 dev ${link}`, `fd77::${last}/64 dev ${link} nodad`];
      ip(where, ...addresses.map((address) => `address add ${address}`), `link set ${link} up`);
    }
  }
}

function pathOf({ fd }: Namespace): string {
  return `/proc/${process.pid}/fd/${fd}`;
}

function ip(where: Namespace, ...lines: readonly string[]): void {
  const { status, stderr } = runIn(where, ['ip', '-batch', '-'], lines.join('\n'));
  assert.equal(status, 0, `${lines}: ${stderr}`);
}
