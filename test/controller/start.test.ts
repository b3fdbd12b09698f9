// A real process that cannot start names the flag, the reason and the remedy.

import { deepEqual, doesNotMatch, equal, match, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { controllerConfig, controllerOptions } from '../../src/controller/config.ts';
import { readOptions } from '../../src/process/options.ts';
import { certificate, noCertificates } from '../certificates.ts';
import { patient } from '../patience.ts';
import { program } from '../program.ts';
import { folder } from './fixture.ts';

const limit = { timeout: patient(60_000) };

async function started(...argv: readonly string[]): Promise<{ code: number | null; err: string }> {
  const child = spawn(process.execPath, [program, 'controller', ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: patient(20_000),
  });
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code: code as number | null, err };
}

test('a --listen port that is in use ends the controller with the remedy', limit, async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const where = ['--services', folder(t), '--state', folder(t), '--pool', 'p=10.77.0.100'];
  const { code, err } = await started(...where, '--listen', `127.0.0.1:${port}`);
  match(
    err,
    new RegExp(`^vipward controller: --listen 127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*; end what .*\\n$`),
  );
  deepEqual(code, 1);
});

test('an option of --kubernetes is refused with --services, wherever it was given', limit, async (t) => {
  const where = ['--services', folder(t), '--listen', '127.0.0.1:0'];
  const config = join(folder(t), 'config.yaml');
  const source = async (argv: readonly string[], env: Record<string, string> = {}) => {
    return controllerConfig(await readOptions(controllerOptions, { argv: [...where, ...argv], env })).source
      .kind;
  };
  for (const [flag, env, key, value] of [
    ['allow-opt-out', 'VIPWARD_ALLOW_OPT_OUT', 'allowOptOut', 'none'],
    ['default-class', 'VIPWARD_DEFAULT_CLASS', 'defaultClass', 'false'],
    ['watch-namespaces', 'VIPWARD_WATCH_NAMESPACES', 'watchNamespaces', 'other'],
    ['ignore-exclude-label', 'VIPWARD_IGNORE_EXCLUDE_LABEL', 'ignoreExcludeLabel', 'true'],
    ['leader-elect-retry-period', 'VIPWARD_LEADER_ELECT_RETRY_PERIOD', 'leaderElectRetryPeriod', '1s'],
    ['agent-service-account', 'VIPWARD_AGENT_SERVICE_ACCOUNT', 'agentServiceAccount', 'a/b'],
  ] as const) {
    const what = `--${flag} applies only with --kubernetes, not with --services`;
    const message = `${what}: remove --${flag}, ${env} or ${key} in the config file`;
    await rejects(source(value === 'true' ? [`--${flag}`] : [`--${flag}`, value]), {
      code: 'Usage',
      message,
    });
    await rejects(source([], { [env]: value }), { code: 'Usage', message });
    writeFileSync(config, `${key}: ${value}\n`);
    await rejects(source(['--config', config]), { code: 'Usage', message });
  }
  equal(await source(['--allow-opt-out', 'any', '--default-class', 'true', '--no-kubernetes']), 'files');
  const { code, err } = await started(...where, '--allow-opt-out', 'none');
  deepEqual(code, 2, err);
  match(err, /^vipward controller: --allow-opt-out applies only with --kubernetes, .*: remove .*\n$/);
});

test('certificates that cannot be used are wrong usage, and are named', {
  ...limit,
  skip: noCertificates,
}, async (t) => {
  const [one, other] = [certificate(folder(t), ['DNS:a']), certificate(folder(t), ['DNS:a'])];
  const broken = join(folder(t), 'broken.pem');
  writeFileSync(broken, 'no certificate\n');
  const where = ['--services', folder(t), '--state', folder(t), '--listen', '127.0.0.1:0'];
  const of = async (cert: string, key: string, ...more: readonly string[]) => {
    const { code, err } = await started(...where, '--tls-cert', cert, '--tls-key', key, ...more);
    deepEqual(code, 2, err);
    doesNotMatch(err, /\n./, 'one line');
    return err;
  };
  const remedy = 'give the certificate of this server and its key, both PEM';
  for (const [cert, key, why] of [
    [broken, one.keyFile, 'no start line'],
    [one.certFile, broken, ''],
    [one.certFile, other.keyFile, 'key values mismatch'],
  ] as const) {
    const err = await of(cert, key);
    match(err, new RegExp(`--tls-cert ${cert} and --tls-key ${key}: .*${why}.*; ${remedy}`));
  }
  match(await of(one.certFile, one.keyFile, '--client-ca', broken), /--client-ca \S*broken\.pem: .*; give a/);
});
