// The certificate that the controllers of a cluster share: made once, kept in Secret vipward-tls, renewed by
// the ruling controller. Agents read its authority in ConfigMap vipward-ca.

import { setTimeout as sleep } from 'node:timers/promises';
import { ageOf, makeAuthority, makeServerPair, type Pair } from '../../certificate.ts';
import { type Problem, problemAt } from '../../service.ts';
import { type Mapping, mapping, textAt } from '../fields.ts';
import { backoffMs } from './backoff.ts';
import { type ApiClient, hasCode } from './client.ts';

export interface SharedCertificateInput {
  /** Rejects if the API server belongs to another cluster than before: its certificate does not count. */
  readonly confirm: () => Promise<void>;
  readonly client: ApiClient;
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** True while this process rules, and so alone renews. */
  readonly mayWrite: () => boolean;
  readonly onProblem: (message: string | null) => void;
  /** How often the Secret is read. */
  readonly lookMs?: number;
}

/** Within this time the certificate of another controller or an administrator is taken. */
const usualLookMs = 60_000;
/** The same while a write is due that only the ruling controller may make. */
const dueMs = 2000;
const authorityDays = 3650;
const serverDays = 90;
const renewAtAge = 2 / 3;
const secretName = 'vipward-tls';
const configMapName = 'vipward-ca';

/** The content of the Secret. Without the authority's key it belongs to somebody else, and is not renewed. */
interface StoredPair {
  readonly server: Pair;
  readonly authority: { readonly cert: string; readonly key: string | null };
  readonly resourceVersion: string;
}

export class SharedCertificate {
  readonly #input: SharedCertificateInput;
  readonly #names: readonly string[];
  #pair: Pair;
  #problem: string | null = null;
  /** A write is due, but this process does not rule. */
  #isDue = false;
  /** Puts another certificate in force, or throws. */
  onChange: (pair: Pair) => void = () => undefined;

  constructor(input: SharedCertificateInput) {
    this.#input = input;
    const name = `vipward-controller.${input.namespace}`;
    this.#names = [`${name}.svc`, `${name}.svc.cluster.local`, name, 'vipward-controller', 'localhost'];
    // The API server may be away: this one answers probes meanwhile, and no agent trusts it.
    this.#pair = makeAuthority({ subject: 'vipward: not read yet', fromMs: Date.now(), days: 1 });
  }

  /** The certificate that the server presents. */
  get pair(): Pair {
    return this.#pair;
  }

  problems(): readonly Problem[] {
    return problemAt(secretName, this.#problem);
  }

  /** Keeps the certificate up to date until the signal is aborted. */
  async run(): Promise<void> {
    const { signal, random, lookMs = usualLookMs } = this.#input;
    let failures = 0;
    while (!signal.aborted) {
      this.#isDue = false;
      try {
        await this.#look();
        failures = 0;
        this.#complain(null);
      } catch (error) {
        failures++;
        if (!signal.aborted) this.#complain((error as Error).message);
      }
      const usualMs = this.#isDue ? dueMs : lookMs;
      const waitMs = failures === 0 ? usualMs : backoffMs(failures, random());
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    await this.#input.confirm();
    const found = await this.#read('secrets', secretName);
    const kept = found === null ? await this.#make() : keptIn(found);
    const { server, authority } = await this.#renewed(kept);
    await this.#tell(authority.cert);
    this.#use(server);
  }

  /** A certificate that cannot be put in force is tried again, and the server keeps the last one. */
  #use(server: Pair): void {
    const { cert, key } = this.#pair;
    if (server.cert === cert && server.key === key) return;
    try {
      this.onChange(server);
    } catch (cause) {
      const why = (cause as Error).message;
      const remedy = 'put a certificate and its key there, or delete it to have one made';
      throw new Error(`Secret ${secretName}: tls.crt and tls.key cannot be used: ${why}: ${remedy}`, {
        cause,
      });
    }
    this.#pair = server;
  }

  /**
   * Of several controllers that start at once one makes it: the others get 409, and read it the next time.
   */
  async #make(): Promise<StoredPair> {
    const authority = makeAuthority({ subject: 'vipward', fromMs: Date.now(), days: authorityDays });
    const body = this.#secret(authority, this.#signedBy(authority));
    return keptIn(await this.#send('POST', 'secrets', body));
  }

  async #renewed(kept: StoredPair): Promise<StoredPair> {
    const { cert, key } = kept.authority;
    const isDue = key !== null && ageOf(kept.server.cert, Date.now()) > renewAtAge;
    if (!isDue || !this.#mayWrite()) return kept;
    const body = this.#secret({ cert, key }, this.#signedBy({ cert, key }), kept.resourceVersion);
    return keptIn(await this.#send('PUT', 'secrets', body));
  }

  /** Agents read the authority from a file that the kubelet mounts: they have no rights of their own. */
  async #tell(cert: string): Promise<void> {
    const found = await this.#read('configmaps', configMapName);
    const told = found === null ? undefined : mapping(found['data'] ?? {}, 'data')['ca.crt'];
    if (told === cert || (found !== null && !this.#mayWrite())) return;
    const version = found === null ? {} : { resourceVersion: versionOf(found) };
    const { namespace } = this.#input;
    const metadata = { name: configMapName, namespace, ...version };
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': cert } };
    await this.#send(found === null ? 'POST' : 'PUT', 'configmaps', body);
  }

  #mayWrite(): boolean {
    const may = this.#input.mayWrite();
    this.#isDue ||= !may;
    return may;
  }

  #signedBy(authority: Pair): Pair {
    const input = { subject: 'vipward-controller', fromMs: Date.now(), days: serverDays };
    return makeServerPair(authority, this.#names, input);
  }

  #secret(authority: Pair, server: Pair, resourceVersion?: string): NamedBody {
    const { namespace } = this.#input;
    const version = resourceVersion === undefined ? {} : { resourceVersion };
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: secretName, namespace, ...version },
      stringData: {
        'ca.crt': authority.cert,
        'ca.key': authority.key,
        'tls.crt': server.cert,
        'tls.key': server.key,
      },
    };
  }

  async #read(resource: string, name: string): Promise<Mapping | null> {
    const { client, namespace, signal } = this.#input;
    try {
      const path = `/api/v1/namespaces/${namespace}/${resource}/${name}`;
      return mapping(await client.json({ path, signal }), name);
    } catch (error) {
      if (hasCode(error, 404)) return null;
      throw error;
    }
  }

  async #send(method: 'POST' | 'PUT', resource: string, body: NamedBody): Promise<Mapping> {
    const { client, namespace, signal } = this.#input;
    const path = `/api/v1/namespaces/${namespace}/${resource}`;
    const { name } = body.metadata;
    const sent = { method, path: method === 'PUT' ? `${path}/${name}` : path, body, signal };
    return mapping(await client.json(sent), name);
  }

  #complain(problem: string | null): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#input.onProblem(problem);
  }
}

interface NamedBody {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion?: string };
  readonly [field: string]: unknown;
}

/** Throws FieldError if the Secret has no certificate. */
function keptIn(secret: Mapping): StoredPair {
  const data = mapping(secret['data'] ?? {}, `${secretName}: data`);
  const textIn = (key: string) =>
    Buffer.from(textAt(data[key], `${secretName}: ${key}`), 'base64').toString();
  const server = { cert: textIn('tls.crt'), key: textIn('tls.key') };
  // A self-signed certificate is its own authority.
  const cert = data['ca.crt'] === undefined ? server.cert : textIn('ca.crt');
  const key = data['ca.key'] === undefined ? null : textIn('ca.key');
  return { server, authority: { cert, key }, resourceVersion: versionOf(secret) };
}

function versionOf(object: Mapping): string {
  return textAt(mapping(object['metadata'], 'metadata')['resourceVersion'], 'metadata.resourceVersion');
}
