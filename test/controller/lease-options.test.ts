// An invalid option names the place where it was given: a flag, the environment or the config file.
import { rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { controllerConfig, controllerOptions } from '../../src/controller/config.ts';
import { camelCase, envName, readOptions } from '../../src/process/options.ts';
import { folder } from './fixture.ts';

const usual = ['--kubernetes', '--pool', 'p=10.0.0.0/24'];
const openRemedy = 'give --agent-service-account, --client-ca or --token-file, or allow this by --insecure';
const [duration, deadline] = ['--leader-elect-lease-duration', '--leader-elect-renew-deadline'];

for (const [name, value, message] of [
  ['advertise', 'a:b:c', 'PLACE: expected HOST:PORT such as 127.0.0.1:9470 or [::1]:9470, got "a:b:c:9470"'],
  ['advertise', 'a b', 'PLACE a b: expected an address or a host name, with or without a port'],
  ['listen', ':9470', `PLACE :9470 accepts clients without credentials: ${openRemedy}`],
  ['leader-elect-retry-period', '99ms', 'PLACE: expected 100ms or more, got 99ms'],
  ['leader-elect-lease-duration', '5s', `PLACE (5000ms) must be longer than ${deadline} (10000ms)`],
  ['leader-elect-renew-deadline', '20s', `${duration} (15000ms) must be longer than PLACE (20000ms)`],
  ['leader-elect-retry-period', '9s', `${deadline} (10000ms) must be over 1.2 times PLACE (9000ms)`],
] as const)
  test(`an invalid --${name} ${value} names its flag, variable or file`, async (t) => {
    const config = join(folder(t), 'config.yaml');
    writeFileSync(config, JSON.stringify({ [camelCase(name)]: value }));
    for (const [place, argv, env] of [
      [`--${name}`, [`--${name}`, value], {}],
      [envName(name), ['--config', config], { [envName(name)]: value }],
      [`${config}: ${camelCase(name)}`, ['--config', config], {}],
    ] as const) {
      const found = readOptions(controllerOptions, { argv: [...usual, ...argv], env });
      const expected = { code: 'Usage', message: message.replace('PLACE', place) };
      await rejects(found.then(controllerConfig), expected);
    }
  });
