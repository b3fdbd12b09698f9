// A fake API server with all that a controller asks for, and a controller that reads it. It keeps each write,
// and no object but the Lease changes by one. The real one is in test/kubernetes.
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { type Running, startController, usualTiming } from '../../../../src/controller/run.ts';
import type { Log } from '../../../../src/process/log.ts';
import { configOf, ending, folder } from '../../fixture.ts';
import { refuse } from './fake-api.ts';

const podNamespace = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** Where the controller keeps its own objects: the context's namespace, unless the tests run in a Pod. */
export const ownNamespace: string = existsSync(podNamespace)
  ? readFileSync(podNamespace, 'utf8').trim()
  : 'of-context';

const gone = { kind: 'Status', code: 410, message: 'too old' };
const tooOld = `${JSON.stringify({ type: 'ERROR', object: gone })}\n`;

export interface Written {
  readonly method: string;
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: an object of the API, whose fields a test names as they are.
  readonly body: any;
}

export class FakeCluster {
  url = '';
  /** The objects of each collection, such as `/api/v1/nodes`. */
  readonly objects: Map<string, readonly object[]> = new Map();
  /** Collections that answer with this HTTP status. */
  readonly refused: Map<string, number> = new Map();
  lease: object | null = null;
  minor = '34';
  /** The UID of kube-system. */
  uid = 'the-cluster';
  /** Writes of the Lease are answered with 500. */
  failsLease = false;
  readonly read: string[] = [];
  readonly written: Written[] = [];
  /** The connections on which each path was asked, by the client's port. */
  readonly connections: Map<string, Set<number | undefined>> = new Map();
  readonly #watches = new Set<ServerResponse>();
  /** That of every list. */
  #version = 1;

  async listen(context: TestContext): Promise<this> {
    const server = createServer((request, response) => void this.#answer(request, response));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ending(context).defer(() => {
      server.closeAllConnections();
      server.close();
    });
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  /** Ends all watches with 410, also those that begin from a list of before: everything is listed again. */
  listAgain(): void {
    this.#version++;
    for (const watch of this.#watches) watch.end(tooOld);
    this.#watches.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams } = new URL(request.url ?? '', this.url);
    const { method = '', socket } = request;
    this.connections.set(path, (this.connections.get(path) ?? new Set()).add(socket.remotePort));
    response.setHeader('content-type', 'application/json');
    if (method !== 'GET') {
      const body = (await json(request)) as object;
      if (this.failsLease && path.includes('/leases')) return void refuse(response, 500);
      const isOther = path.includes('/leases/') && versionOf(body) !== versionOf(this.lease);
      if (isOther) return void refuse(response, 409);
      this.written.push({ method, path, body });
      response.end(JSON.stringify(this.#write(path, body)));
      return;
    }
    this.read.push(path);
    const code = this.refused.get(path) ?? (path.includes('/leases/') && this.lease === null ? 404 : 200);
    if (code !== 200) refuse(response, code);
    else if (searchParams.get('watch') !== 'true') response.end(JSON.stringify(this.#get(path)));
    else {
      response.flushHeaders();
      if (searchParams.get('resourceVersion') === `${this.#version}`) this.#watches.add(response);
      else response.end(tooOld);
    }
  }

  #write(path: string, body: object): object {
    const metadata = { ...('metadata' in body ? (body.metadata as object) : {}), uid: 'l' };
    const made = { ...body, metadata: { ...metadata, resourceVersion: `${this.written.length}` } };
    if (path.includes('/leases')) this.lease = made;
    return made;
  }

  #get(path: string): unknown {
    if (path.includes('/leases/')) return this.lease;
    if (path === '/version') return { major: '1', minor: this.minor };
    if (path.endsWith('/namespaces/kube-system')) return { metadata: { uid: this.uid } };
    return { metadata: { resourceVersion: `${this.#version}` }, items: this.objects.get(path) ?? [] };
  }
}

function versionOf(object: object | null): unknown {
  const { metadata } = (object ?? {}) as { readonly metadata?: { readonly resourceVersion?: string } };
  return metadata?.resourceVersion;
}

interface ControllerSetup extends Pick<FakeCluster, 'url'> {
  readonly log?: Log;
  readonly massRemovalWaitMs?: number;
}

/** A controller of that cluster, which ends with the test. */
export async function controllerOf(
  context: TestContext,
  {
    url,
    log = pino({ level: 'silent' }),
    massRemovalWaitMs = usualTiming.massRemovalWaitMs,
  }: ControllerSetup,
  ...more: readonly string[]
): Promise<Running> {
  const kubeconfig = join(folder(context), 'kubeconfig');
  const named = { cluster: 'c', user: 'u', namespace: 'of-context' };
  const contexts = [
    { name: 'first', context: { ...named, cluster: 'nowhere' } },
    { name: 'second', context: named },
  ];
  const clusters = [
    { name: 'c', cluster: { server: url } },
    { name: 'nowhere', cluster: { server: 'http://127.0.0.1:1' } },
  ];
  const config = { contexts, clusters, users: [{ name: 'u', user: {} }], 'current-context': 'first' };
  writeFileSync(kubeconfig, JSON.stringify(config));
  const where = ['--kubernetes', '--kubeconfig', kubeconfig, '--context', 'second'];
  const argv = [...where, '--listen', '127.0.0.1:0', '--pool', 'p=10.77.0.100-10.77.0.199', ...more];
  const stopping = new AbortController();
  const running = await startController(await configOf(argv), {
    log,
    signal: stopping.signal,
    version: '0',
    logDestination: { dropped: 0 },
    timing: { ...usualTiming, settleMs: 20, claimMs: 200, massRemovalWaitMs },
  });
  ending(context).defer(() => {
    stopping.abort();
    return running.done;
  });
  return running;
}
