// A way through this process to a server: what comes back on it is kept, and it can be cut and opened again.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { connectIn, stay } from '../kernel/traffic.ts';
import type { Namespace } from '../namespaces.ts';

export interface Place {
  readonly where: Namespace;
  readonly host: string;
  readonly port: number;
}

export class Relay implements Disposable {
  /** Connections that were made through it. */
  connections = 0;
  /** What the server sent on all of them. */
  said = '';
  /** While false, connections are refused. */
  isOpen = true;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(to: Place) {
    this.#server = createServer((socket) => void this.#join(socket, to));
  }

  /** Listens at one place, and connects each client to the other. */
  static async open(at: Place, to: Place): Promise<Relay> {
    const relay = new Relay(to);
    await stay(at.where, async () => {
      relay.#server.listen(at.port, at.host);
      await once(relay.#server, 'listening');
    });
    return relay;
  }

  /** Resets every connection, and refuses new ones until it is opened again. */
  cut(): void {
    this.isOpen = false;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  [Symbol.dispose](): void {
    this.cut();
    this.#server.close();
  }

  async #join(near: Socket, { where, host, port }: Place): Promise<void> {
    near.on('error', () => {});
    const far = this.isOpen ? await connectIn(where, { host, port }).catch(() => null) : null;
    if (far === null || !this.isOpen) {
      near.resetAndDestroy();
      far?.destroy();
      return;
    }
    this.connections++;
    far.on('data', (part: Buffer) => {
      this.said += part.toString('latin1');
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.pipe(to);
      from.once('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
