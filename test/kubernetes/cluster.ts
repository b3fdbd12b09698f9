// A real cluster without nodes, in a network namespace of its own: etcd and kube-apiserver, dual stack, with
// RBAC, ServiceAccount tokens and an audit log. It is reached at 10.99.0.1:6443 from namespaces joined to it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type ConnectionOptions, connect } from 'node:tls';
import { connectIn } from '../kernel/traffic.ts';
import { Namespace, runIn } from '../namespaces.ts';
import { until } from '../patience.ts';
import { type AuditEvent, auditPolicy, readAudit } from './audit.ts';
import { programPath } from './control-plane.ts';
import { Etcd } from './etcd.ts';
import { Program } from './processes.ts';

const host = '10.99.0.1';
const port = 6443;
/** A little more than the API server takes for a request that is no watch (--request-timeout). */
const answerWithinMs = 70_000;

/** A user of the token file: `admin` may do everything, and RBAC decides for the others. */
export type User = 'admin' | 'proxy' | 'stranger';
const groups: Readonly<Record<User, string>> = { admin: 'system:masters', proxy: '', stranger: '' };
const names: Readonly<Record<User, string>> = {
  admin: 'admin',
  proxy: 'system:kube-proxy',
  stranger: 'stranger',
};

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: an object of the API, whose fields a test names as they are.
  readonly body: any;
}

export class Cluster implements AsyncDisposable {
  readonly namespace: Namespace = Namespace.make();
  readonly folder: string = mkdtempSync(join(tmpdir(), 'vipward-cluster-'));
  readonly etcd: Etcd = new Etcd(this.namespace, this.folder);
  readonly #tokens = new Map<User, string>();
  readonly #agent: Agent;
  #server: Program | undefined;
  #links = 0;

  private constructor() {
    this.#agent = this.newAgent(16);
  }

  /** For requests of this process: its sockets must be made in the namespace of the cluster. */
  newAgent(maxSockets: number = Number.POSITIVE_INFINITY): Agent {
    const agent = new Agent({ keepAlive: true, maxSockets });
    return Object.assign(agent, { createConnection: this.#connect });
  }

  /** A cluster that is ready. */
  static async start(): Promise<Cluster> {
    const made = new Cluster();
    try {
      made.#prepare();
      made.etcd.start();
      await made.startServer();
      return made;
    } catch (error) {
      await made.stop();
      throw error;
    }
  }

  /** The URL of the API server in a joined namespace. */
  get url(): string {
    return `https://${host}:${port}`;
  }

  get ca(): string {
    return readFileSync(join(this.folder, 'tls', 'apiserver.crt'), 'utf8');
  }

  token(user: User): string {
    return this.#tokens.get(user) ?? '';
  }

  /** Connects another namespace to the API server. */
  join(where: Namespace): void {
    const link = this.#links++;
    const peer = `netns /proc/${process.pid}/fd/${where.fd}`;
    ip(this.namespace, `link add node${link} type veth peer name cluster ${peer}`);
    ip(this.namespace, `address add 10.98.${link}.1/30 dev node${link}`);
    ip(this.namespace, `link set node${link} up`);
    ip(where, `address add 10.98.${link}.2/30 dev cluster`);
    ip(where, 'link set cluster up');
    ip(where, `route add ${host}/32 via 10.98.${link}.1`);
  }

  /**
   * Writes a kubeconfig for a token and returns its path. At another URL than its own the API server is
   * verified by a name in its certificate.
   */
  kubeconfig(name: string, token: string, server: string = this.url): string {
    const data = Buffer.from(this.ca).toString('base64');
    const verified = server === this.url ? {} : { 'tls-server-name': 'kubernetes.default' };
    const content = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': data, ...verified } }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    };
    const path = join(this.folder, `${name}.kubeconfig`);
    writeFileSync(path, JSON.stringify(content), { mode: 0o600 });
    return path;
  }

  /** One request of an administrator, or of the holder of another token. */
  async ask(method: string, path: string, body?: object, more: AskOptions = {}): Promise<Answer> {
    const { type = 'application/json', token = this.token('admin') } = more;
    const headers = { authorization: `Bearer ${token}`, 'content-type': type, accept: 'application/json' };
    const signal = AbortSignal.timeout(answerWithinMs);
    const sent = request({ method, host, port, path, headers, agent: this.#agent, signal });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const words = await text(response);
    const isJson = response.headers['content-type']?.startsWith('application/json') === true;
    return { status: response.statusCode ?? 0, body: isJson ? JSON.parse(words) : words };
  }

  /** A request that must succeed. */
  async do(method: string, path: string, body?: object, more: AskOptions = {}): Promise<Answer['body']> {
    const answer = await this.ask(method, path, body, more);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Runs kubectl as the administrator; it must succeed. */
  kubectl(words: readonly string[], input = ''): string {
    const config = this.kubeconfig('admin', this.token('admin'));
    const argv = [programPath('kubectl'), '--kubeconfig', config, ...words] as const;
    const { status, stdout, stderr } = runIn(this.namespace, [argv[0], ...argv.slice(1)], input);
    assert.equal(status, 0, `kubectl ${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** The finished requests of a user so far. */
  audit(username: string): AuditEvent[] {
    return readAudit(this.folder).filter(({ user }) => user.username === username);
  }

  /** Starts the API server and waits until it is ready. */
  async startServer(): Promise<void> {
    const file = (name: string): string => join(this.folder, name);
    this.#server = this.program('kube-apiserver', [
      ...['--etcd-servers', this.etcd.url, '--service-cluster-ip-range', '10.96.0.0/16,fd96::/112'],
      ...['--secure-port', `${port}`, '--advertise-address', host, '--cert-dir', file('tls')],
      ...['--service-account-key-file', file('sa.pem'), '--service-account-signing-key-file', file('sa.pem')],
      ...['--service-account-issuer', 'https://kubernetes.default', '--authorization-mode', 'RBAC'],
      ...['--api-audiences', 'https://kubernetes.default', '--token-auth-file', file('tokens.csv')],
      ...['--audit-policy-file', file('audit.yaml'), '--audit-log-path', file('audit.log')],
      ...['--disable-admission-plugins', 'ServiceAccount', '--allow-privileged=true'],
    ]);
    const server = this.#server;
    await until(
      'the API server is ready',
      async () => {
        assert.ok(server.isRunning, 'it ended');
        return existsSync(file('tls/apiserver.crt')) && (await this.ask('GET', '/readyz')).body === 'ok';
      },
      () => server.words,
    );
  }

  /** Ends the API server as a machine that lost its power would. */
  async killServer(): Promise<void> {
    await this.#server?.end('SIGKILL');
  }

  /** Starts a program of the control plane in the cluster's namespace. */
  program(name: Parameters<typeof programPath>[0], words: readonly string[]): Program {
    return new Program(this.namespace, [programPath(name), ...words], join(this.folder, `${name}.log`));
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await this.#server?.end('SIGKILL');
    await this.etcd.kill();
    rmSync(this.folder, { recursive: true, force: true });
    this.namespace[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #prepare(): void {
    ip(this.namespace, `address add ${host}/32 dev lo`);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(this.folder, 'sa.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const lines: string[] = [];
    for (const user of Object.keys(groups) as User[]) {
      const token = randomBytes(16).toString('hex');
      this.#tokens.set(user, token);
      lines.push(`${token},${names[user]},${user},"${groups[user]}"`);
    }
    writeFileSync(join(this.folder, 'tokens.csv'), `${lines.join('\n')}\n`);
    writeFileSync(join(this.folder, 'audit.yaml'), JSON.stringify(auditPolicy));
  }

  readonly #connect = (
    _: ConnectionOptions,
    done: (error: Error | null, socket?: ReturnType<typeof connect>) => void,
  ): undefined => {
    connectIn(this.namespace, { host, port }).then(
      (socket) => done(null, connect({ socket, ca: this.ca, host })),
      (error: Error) => done(error),
    );
  };
}

export interface AskOptions {
  readonly type?: string;
  readonly token?: string;
}

function ip(where: Namespace, words: string): void {
  const { status, stderr } = where.run(() => spawnSync('ip', words.split(' '), { encoding: 'utf8' }));
  assert.equal(status, 0, `ip ${words}: ${stderr}`);
}
