// The controller's credentials for the API server. Files are read for each request, so that a rotated token
// or CA counts at once; a plugin is asked again when its credential has expired or was refused.

import { readFile } from 'node:fs/promises';
import { type ExecCredential, runExecPlugin } from './exec-plugin.ts';
import type { ClusterAccess, ExecPlugin, Material } from './kubeconfig.ts';

export interface Identity {
  /** The value of the Authorization header, or null. */
  readonly authorization: string | null;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** A plugin's credential is replaced this long before it expires. */
const renewBeforeMs = 10_000;

export class Credentials {
  readonly #access: ClusterAccess;
  readonly #env: Readonly<Record<string, string | undefined>>;
  #given: ExecCredential | null = null;
  #asking: Promise<ExecCredential> | null = null;

  constructor(access: ClusterAccess, env: Readonly<Record<string, string | undefined>>) {
    this.#access = access;
    this.#env = env;
  }

  /** Rejects if a file cannot be read, the CA is empty or the plugin fails. */
  async current(): Promise<Identity> {
    const { ca, token, certificate, basic, exec } = this.#access;
    const given = exec === null ? null : await this.#give(exec);
    const bearer = given?.token ?? (token === null ? null : (await textOf(token)).trim());
    const login = basic === null ? null : btoa(`${basic.username}:${basic.password}`);
    return {
      authorization: bearer !== null ? `Bearer ${bearer}` : login !== null ? `Basic ${login}` : null,
      ca: ca === null ? null : await caOf(ca),
      cert: given?.certificate?.cert ?? (certificate === null ? null : await textOf(certificate.cert)),
      key: given?.certificate?.key ?? (certificate === null ? null : await textOf(certificate.key)),
    };
  }

  /** The server answered 401: the next request asks a plugin again. */
  refused(): void {
    this.#given = null;
  }

  async #give(exec: ExecPlugin): Promise<ExecCredential> {
    const given = this.#given;
    if (given !== null && (given.expiresMs ?? Infinity) - renewBeforeMs > Date.now()) return given;
    this.#asking ??= this.#run(exec).finally(() => {
      this.#asking = null;
    });
    this.#given = await this.#asking;
    return this.#given;
  }

  async #run(exec: ExecPlugin): Promise<ExecCredential> {
    const { ca } = this.#access;
    const asksForIt = exec.cluster !== undefined && ca !== null;
    return await runExecPlugin(exec, this.#env, asksForIt ? await textOf(ca) : null);
  }
}

/** With an empty CA, TLS would trust every public one. */
async function caOf(material: Material): Promise<string> {
  const text = await textOf(material);
  if (text !== '') return text;
  const where = 'file' in material ? material.file : 'certificate-authority-data';
  throw new Error(`${where}: expected a PEM certificate, found nothing`);
}

async function textOf(material: Material): Promise<string> {
  return 'text' in material ? material.text : await readFile(material.file, 'utf8');
}
