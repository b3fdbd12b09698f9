// The name servers of a host, also where its programs ask a local resolver first.
import { deepEqual } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nameservers } from '../../../src/agent/addresses/nameservers.ts';

test('the name servers are those of all files that exist, each once', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-names-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [stub, real, absent] = ['stub', 'real', 'absent'].map((name) => join(folder, name));
  if (stub === undefined || real === undefined || absent === undefined) throw new Error('three');
  writeFileSync(stub, '# by hand\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n');
  writeFileSync(
    real,
    'nameserver 10.77.0.53\nnameserver fd77::53\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\n',
  );
  deepEqual(nameservers([stub, absent, real]), ['127.0.0.53', '10.77.0.53', 'fd77::53']);
  deepEqual(nameservers([absent]), []);
});
