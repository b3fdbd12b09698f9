// How many requests a server is answering. A client may have several of them on one connection.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

interface Connection {
  requests: number;
}

export class InFlight {
  #requests = 0;
  readonly #connections = new WeakMap<Socket, Connection>();

  get requests(): number {
    return this.#requests;
  }

  /** Counts a request until its answer is on its way, or its connection is gone. */
  begin({ socket }: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(socket) ?? this.#follow(socket);
    connection.requests++;
    this.#requests++;
    response.once('close', () => {
      if (connection.requests === 0) return;
      connection.requests--;
      this.#requests--;
    });
  }

  /** An answer that waits for the one before it on its connection is not told that this has gone. */
  #follow(socket: Socket): Connection {
    const connection = { requests: 0 };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      this.#requests -= connection.requests;
      connection.requests = 0;
    });
    return connection;
  }
}
