// Counts the requests that a server is answering. A client may have several on one connection.

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

  /** Counts a request until its reply is sent or its connection is closed. */
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

  /** A pipelined reply that waits for an earlier one gets no `close` event when the connection closes. */
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
