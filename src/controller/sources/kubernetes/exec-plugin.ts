// Runs the credential plugin that the operator's kubeconfig names, as kubectl does. The controller starts no
// other program.

import { execFile } from 'node:child_process';
import { mapping, textAt } from '../fields.ts';
import type { ExecPlugin } from './kubeconfig.ts';

/** The credential that a plugin printed; valid until `expiresMs`, or until the server refuses it. */
export interface ExecCredential {
  readonly token: string | null;
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  readonly expiresMs: number | null;
}

/** How long a plugin may take, and how much it may print. */
const timeoutMs = 30_000;
const mostBytes = 1024 * 1024;

/** `ca` is the cluster's CA, in PEM. Rejects with the plugin's error output if it fails. */
export async function runExecPlugin(
  plugin: ExecPlugin,
  env: Readonly<Record<string, string | undefined>>,
  ca: string | null,
): Promise<ExecCredential> {
  const { apiVersion, command, args } = plugin;
  const spec = { interactive: false, ...clusterOf(plugin, ca) };
  const info = { apiVersion, kind: 'ExecCredential', spec };
  const own = Object.fromEntries(plugin.env.map(({ name, value }) => [name, value]));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = {
    env: { ...env, ...own, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    timeout: timeoutMs,
    maxBuffer: mostBytes,
  };
  const child = execFile(command, args, options, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`exec plugin ${command}: ${stderr.trim() || error.message}`, { cause: error }));
  });
  // No user is there to answer questions.
  child.stdin?.end();
  try {
    return parseExecCredential(JSON.parse(await promise));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error(`exec plugin ${command}: printed no ExecCredential`, { cause: error });
  }
}

function clusterOf({ cluster }: ExecPlugin, ca: string | null): { readonly cluster?: object } {
  if (cluster === undefined) return {};
  const data = ca === null ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return { cluster: { ...cluster, ...data } };
}

/** Reads an ExecCredential. Throws FieldError. */
export function parseExecCredential(value: unknown): ExecCredential {
  const credential = mapping(value, 'ExecCredential');
  const status = mapping(credential['status'], 'status');
  const { token, expirationTimestamp } = status;
  const cert = status['clientCertificateData'];
  const expiresMs = Date.parse(String(expirationTimestamp));
  return {
    token: token === undefined ? null : textAt(token, 'status.token'),
    certificate:
      cert === undefined
        ? null
        : {
            cert: textAt(cert, 'status.clientCertificateData'),
            key: textAt(status['clientKeyData'], 'status.clientKeyData'),
          },
    expiresMs: Number.isNaN(expiresMs) ? null : expiresMs,
  };
}
