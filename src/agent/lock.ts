// One agent a host: an abstract socket, which the kernel binds once in a network namespace and frees with its
// process.

import { connect, createServer, type Server } from 'node:net';

const name = '\0vipward-agent';
const answerWithinMs = 1000;

export class SecondAgentError extends Error {
  readonly code = 'SecondAgent';
  readonly pid: number | undefined;

  constructor(pid: number | undefined) {
    super(`another vipward agent runs here${pid === undefined ? '' : ` (pid ${pid})`}; end it first`);
    this.pid = pid;
  }
}

/**
 * Takes the one place of an agent in this network namespace. Rejects with SecondAgentError, naming who has
 * it.
 */
export function takeLock(pid: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(`${pid}\n`);
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') reject(error);
      else lockHolder().then((holder) => reject(new SecondAgentError(holder)), reject);
    });
    server.listen(name, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** The pid of the agent that runs in this network namespace; undefined if none answers. */
export function lockHolder(): Promise<number | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(name);
    socket.setTimeout(answerWithinMs, () => socket.destroy());
    socket.on('data', (part) => {
      text += part.toString('latin1');
    });
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(/^\d+\n$/.test(text) ? Number(text) : undefined));
  });
}
