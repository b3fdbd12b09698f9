// An invalid value of an option is refused with the place where it was given: flag, environment or file.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentOptions } from '../../src/agent/config.ts';
import { controllerOptions } from '../../src/controller/config.ts';
import { camelCase, envName, readOptions } from '../../src/process/options.ts';
import { folder } from '../controller/fixture.ts';

for (const [specs, name, value, message] of [
  [agentOptions, 'allow', 'banana', ': expected an IPv4 or IPv6 address, got "banana"'],
  [agentOptions, 'allow', '10.0.0.0/8,10.0.0.0/33', ': expected a prefix length of 0-32, got "10.0.0.0/33"'],
  [
    agentOptions,
    'controller',
    'http://a:1',
    ': expected ws://HOST:PORT or wss://HOST:PORT, got "http://a:1"; give ws://a:1, which all commands take',
  ],
  [
    agentOptions,
    'controller',
    'ws://b:1,HTTPS://a',
    ': expected ws://HOST:PORT or wss://HOST:PORT, got "HTTPS://a"; give wss://a, which all commands take',
  ],
  [agentOptions, 'controller', 'a:1', ': expected ws://HOST:PORT or wss://HOST:PORT, got "a:1"'],
  [agentOptions, 'node', 'A', ': give the name of this node, in lower case as Kubernetes has it, got "A"'],
  [agentOptions, 'metrics-listen', '9', ': expected HOST:PORT such as 127.0.0.1:9470 or [::1]:9470, got "9"'],
  [agentOptions, 'interface', ' , ', ': expected auto or names of interfaces, got nothing'],
  [agentOptions, 'set-size', '0', ': give at least 1'],
  [agentOptions, 'set-size', '10000001', ': give at most 10000000, got 10000001'],
  [controllerOptions, 'pool', 'p=10.0.0.0/33', ' p=10.0.0.0/33: expected a prefix length of 0-32'],
  [controllerOptions, 'listen', '9', ': expected HOST:PORT such as 127.0.0.1:9470 or [::1]:9470, got "9"'],
  [controllerOptions, 'allow-opt-out', 'any,a', ' any,a: expected any, none, or names of namespaces'],
  [controllerOptions, 'agent-service-account', 'a', ' a: expected NAMESPACE/NAME'],
] as const)
  test(`an invalid --${name} ${value} names its flag, variable or file`, async (t) => {
    const config = join(folder(t), 'config.yaml');
    writeFileSync(config, JSON.stringify({ [camelCase(name)]: value }));
    for (const [where, argv, env] of [
      [`--${name}`, [`--${name}`, value], {}],
      [envName(name), ['--config', config], { [envName(name)]: value }],
      [`${config}: ${camelCase(name)}`, ['--config', config], {}],
    ] as const)
      await rejects(readOptions(specs, { argv, env }), (error: Error) => {
        equal(error.message.slice(0, where.length + message.length), `${where}${message}`);
        return true;
      });
  });

test('the error of a config file that is not YAML names the file, the line and the column', async (t) => {
  const config = join(folder(t), 'config.yaml');
  writeFileSync(config, 'node: n1\n\tallow: 10.0.0.0/8\n');
  await rejects(readOptions(agentOptions, { argv: ['--config', config], env: {} }), {
    message: `--config ${config}: Tabs are not allowed as indentation at line 2, column 1`,
  });
});

test('the error of a value that looks like a flag says how to give it', async () => {
  for (const argv of [
    ['--set-size', '-5'],
    ['--set-size', '--counters'],
  ])
    await rejects(readOptions(agentOptions, { argv, env: {} }), {
      message: /^--set-size: its value is missing; give a value that begins with - as --set-size=VALUE; /,
    });
});

test('an empty variable, an empty key and an empty file give no value, and --help checks none', async (t) => {
  const config = join(folder(t), 'config.yaml');
  const nodeIn = async (text: string, env = {}) => {
    writeFileSync(config, text);
    return (await readOptions(agentOptions, { argv: ['--config', config], env })).values.node;
  };
  deepEqual(
    [await nodeIn(''), await nodeIn('node:\n'), await nodeIn('node: a\n', { VIPWARD_NODE: '' })],
    [undefined, undefined, 'a'],
  );
  const argv = ['--help', 'word', '--config', '/nowhere', '--set-size', '0'];
  const { help, values } = await readOptions(agentOptions, { argv, env: {} });
  deepEqual([help, values.setSize], [true, undefined]);
});

test('an empty flag is refused by name, as is an empty text in the config file', async (t) => {
  const config = join(folder(t), 'config.yaml');
  writeFileSync(config, 'identity: ""\n');
  for (const [argv, where] of [
    [['--identity', ''], '--identity'],
    [['--leader-elect-retry-period='], '--leader-elect-retry-period'],
    [['--config', config], `${config}: identity`],
  ] as const) {
    const message = `${where}: its value is empty; give one, or leave it out`;
    await rejects(readOptions(controllerOptions, { argv, env: {} }), { message });
  }
});

test('a word, an unknown key and a key of another shape are refused by name', async (t) => {
  const config = join(folder(t), 'config.yaml');
  for (const [text, argv, message] of [
    ['', ['word'], /^"word" is not expected here; see --help$/],
    ['nodes: a\n', [], /: unknown key "nodes"; known are controller, node, /],
    ['- a\n', [], /: expected lines of the form `key: value`$/],
    ['node:\n  a: 1\n', [], /: node: expected a value or a list of values, got \{"a":1\}$/],
  ] as const) {
    writeFileSync(config, text);
    await rejects(readOptions(agentOptions, { argv: ['--config', config, ...argv], env: {} }), { message });
  }
});

test('--no-FLAG overrides the environment, and a list has no empty items', async () => {
  const env = { VIPWARD_COUNTERS: 'true', VIPWARD_INTERFACE: 'eth0, ,eth1,' };
  const { values } = await readOptions(agentOptions, { argv: ['--no-counters'], env });
  deepEqual([values.counters, values.interface], [false, ['eth0', 'eth1']]);
});
