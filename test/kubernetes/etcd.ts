// The etcd of a test's cluster: started, killed, compacted, and restored from a backup.
import { once } from 'node:events';
import { cpSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connectIn } from '../kernel/traffic.ts';
import type { Namespace } from '../namespaces.ts';
import { programPath } from './control-plane.ts';
import { Program } from './processes.ts';

const port = 2379;
const url = `http://127.0.0.1:${port}`;

export class Etcd {
  readonly url: string = url;
  readonly #where: Namespace;
  readonly #folder: string;
  #program: Program | undefined;

  constructor(where: Namespace, folder: string) {
    this.#where = where;
    this.#folder = folder;
  }

  start(): void {
    const argv = ['--data-dir', this.#data, '--unsafe-no-fsync', '--logger', 'zap'];
    const where = ['--listen-client-urls', url, '--advertise-client-urls', url];
    const words = [...argv, ...where, '--listen-peer-urls', 'http://127.0.0.1:2380'];
    const log = join(this.#folder, 'etcd.log');
    this.#program = new Program(this.#where, [programPath('etcd'), ...words], log);
  }

  async kill(): Promise<void> {
    await this.#program?.end('SIGKILL');
  }

  /** Copies its data and returns the path of the copy. */
  backUp(): string {
    const copy = join(this.#folder, 'etcd-backup');
    this.#program?.signal('SIGSTOP');
    cpSync(this.#data, copy, { recursive: true });
    this.#program?.signal('SIGCONT');
    return copy;
  }

  /** Starts with the data of a copy. */
  restore(copy: string): void {
    rmSync(this.#data, { recursive: true });
    cpSync(copy, this.#data, { recursive: true });
    this.start();
  }

  /** Compacts its history: only the last revision of an object stays. */
  async compact(): Promise<void> {
    const { header } = (await this.#ask('/v3/kv/range', { key: 'AA==' })) as { header: { revision: string } };
    await this.#ask('/v3/kv/compaction', { revision: header.revision, physical: true });
  }

  get #data(): string {
    return join(this.#folder, 'etcd');
  }

  async #ask(path: string, body: object): Promise<unknown> {
    const socket = await connectIn(this.#where, { host: '127.0.0.1', port });
    const sent = request({ method: 'POST', path, createConnection: () => socket });
    sent.end(JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const answer = await text(response);
    socket.destroy();
    if (response.statusCode !== 200) throw new Error(`etcd ${path}: ${response.statusCode} ${answer}`);
    return JSON.parse(answer);
  }
}
