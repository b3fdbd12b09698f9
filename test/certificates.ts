// Certificates for tests, made by openssl; each is signed by itself, and so its own CA.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Why no certificate can be made here, or false; printed once. */
export const noCertificates: string | false =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
if (noCertificates !== false) process.stderr.write(`no TLS to test with: ${noCertificates}\n`);

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly pem: string;
}

/** One for names as openssl writes them, such as `DNS:localhost`. */
export function certificate(folder: string, names: readonly string[]): Certificate {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  const what = ['-subj', '/CN=vipward', '-addext', `subjectAltName=${names.join(',')}`];
  const words = ['req', '-x509', ...key, '-days', '2', ...what, '-out', certFile];
  const { status, stderr } = spawnSync('openssl', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl: ${stderr}`);
  return { certFile, keyFile, pem: readFileSync(certFile, 'utf8') };
}
