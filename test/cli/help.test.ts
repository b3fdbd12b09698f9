// The examples in --help of the two processes can be typed as they stand.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { agentConfig, agentOptions } from '../../src/agent/config.ts';
import { controllerConfig, controllerOptions } from '../../src/controller/config.ts';
import { readOptions } from '../../src/process/options.ts';
import { program } from '../program.ts';
import { run } from './stub.ts';

function helpOf(verb: string): string {
  const { status, stdout } = spawnSync(process.execPath, [program, verb, '--help'], { encoding: 'utf8' });
  assert.equal(status, 0);
  return stdout;
}

/** The arguments of each example, with continued lines joined. */
function examples(help: string, verb: string): string[][] {
  const lines = help.replaceAll('\\\n', ' ').split('\n');
  const found = lines.filter((line) => line.startsWith(`  vipward ${verb} `));
  return found.map((line) => line.trim().split(/\s+/).slice(2));
}

test('the examples of agent and controller are valid arguments', async () => {
  const [agents, controllers] = ['agent', 'controller'].map((verb) => examples(helpOf(verb), verb));
  assert.deepEqual([agents?.length, controllers?.length], [2, 2]);
  for (const argv of agents ?? []) agentConfig((await readOptions(agentOptions, { argv, env: {} })).values);
  for (const argv of controllers ?? [])
    controllerConfig(await readOptions(controllerOptions, { argv, env: {} }));
});

test('help marks needed flags, and names the units of a duration', () => {
  const help = helpOf('agent');
  for (const flag of ['controller', 'node', 'allow'])
    assert.match(help, new RegExp(`^  --${flag} .*\\n? .*\\brequired\\b`, 'm'), flag);
  for (const verb of ['agent', 'controller']) assert.match(helpOf(verb), /ms, s, m or h: 500ms, 1\.5s, 2m/);
});

test('the help of status has the default agent, and the general help the exit codes', async () => {
  const { out } = await run(['status', '--help']);
  assert.match(
    out.replace(/\s+/g, ' '),
    /--agent \[url\] .*\(VIPWARD_AGENT; default: http:\/\/127.0.0.1:9471\)/,
  );
  const { code, err } = await run([]);
  assert.deepEqual([code, err], [2, (await run(['--help'])).out]);
  assert.match(err, /Exit codes: 0 done/);
});
