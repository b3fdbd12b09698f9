// Debian's 6.1 with parts of the kernel left out: what the doctor finds, its next step, and that the step
// helps; and that the agent serves with xtables, or names what is missing. One guest has them left out one
// after another, because a boot takes longer than most of its commands. Nothing here is timed.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import type { DoctorReport } from '../../src/cli/doctor/report.ts';
import { cannotBoot, runInGuest } from './guest.ts';

const kernel = '6.1';
const seconds = 2400;
const timeoutMs = (seconds + 60) * 1000;
const tools = ['iptables-legacy', 'iptables-legacy-save', 'iptables-legacy-restore', 'xtables-legacy-multi'];
const programs = [...tools, ...tools.map((name) => name.replace('ip', 'ip6')), 'ipset', 'ip'];
const paths = [
  ...['test', '/etc/protocols', ...globSync('/usr/lib/*/xtables')],
  ...programs.map((name) => `/usr/sbin/${name}`),
];

/** A function that unloads every module, as after a boot, and leaves out those that it is given. */
const leaveOut = `leave_out() {
  for try in $(seq 100); do
    modules=$(cut -d ' ' -f 1 /proc/modules)
    [ "$modules" ] || break
    rmmod $modules 2>/dev/null || sleep 0.1
  done
  [ ! "$modules" ] || { echo "loaded for ever:" $modules; exit 1; }
  folder=/lib/modules/$(uname -r)
  mkdir -p /run/left-out
  mv /run/left-out/* $folder 2>/dev/null
  for module; do mv $folder/$module.ko /run/left-out || exit 1; done
  depmod
}`;

const load = 'modprobe ip_tables && modprobe ip6_tables';
const doctor = `${process.execPath} $VIPWARD_TEST_PROGRAM doctor -o json; echo "code $?"`;
const [modprobe, locked] = ['modprobe', 'modules_disabled'].map((name) => `/proc/sys/kernel/${name}`);

const tests = ['xtables', 'xtables-auto'].map((file) => `test/kernel/${file}.test.ts`);

function agent(files: readonly string[]): string {
  return `${process.execPath} --test --test-isolation=none ${files.join(' ')}`;
}

/** What an agent says is missing where it can use no firewall. */
const missing = {
  tables: 'modprobe ip_tables ip6_tables',
  sets: 'modprobe ip_set_hash_ip\\)',
  raw: 'CONFIG_IP_NF_RAW \\(modprobe iptable_raw\\)',
} as const;

function without(what: keyof typeof missing): string {
  return `VIPWARD_EXPECT_MISSING='${missing[what]}' ${agent(tests.slice(1))}`;
}

/** The number of tests in the two files that run where xtables serves. */
const servingTests = 13;

/** What the guest runs, one after another. */
const commands = {
  'doctor without raw': `leave_out iptable_raw; ${load}; ${doctor}`,
  'doctor without sets': `leave_out nf_tables ip_set; ${doctor}`,
  'agent without sets': `${load}; ${without('sets')}`,
  'doctor without modprobe': `echo > ${modprobe}; ${doctor}; echo /sbin/modprobe > ${modprobe}`,
  'agent without raw': `leave_out nf_tables iptable_raw iptable_mangle; ${load}; ${without('raw')}`,
  'doctor without tables': `leave_out nf_tables; ${doctor}`,
  'agent without tables': without('tables'),
  'doctor with tables': `${load}; ${doctor}`,
  'agent with tables': agent(tests),
  // It stays so until the next boot.
  'doctor with locked modules': `echo 1 > ${locked}; ${doctor}`,
} as const;
type Command = keyof typeof commands;

describe(`on ${kernel} with parts of the kernel left out`, {
  skip: cannotBoot(kernel, ['iptables-legacy', 'ipset']),
  timeout: timeoutMs,
}, () => {
  let output = '';
  before(
    async () => {
      const script = Object.entries(commands).map(([name, command]) => `echo "== ${name}"; ${command}`);
      output = await runInGuest({ kernel, seconds, paths, tests, script: [leaveOut, ...script].join('\n') });
    },
    { timeout: timeoutMs },
  );

  /** What a command printed. */
  const printed = (command: Command): string => {
    const [, text] = output.split(`== ${command}\n`);
    assert.ok(text !== undefined, output);
    return text.split(/^== /m)[0] ?? '';
  };
  const examined = (command: Command): Examined => {
    const [json = '', code] = printed(command).split(/^code (\d+)$/m);
    assert.ok(code !== undefined, output);
    return { ...(JSON.parse(json) as DoctorReport), code: Number(code) };
  };
  const checkPassed = (command: Command, atLeast: number): void => {
    const text = printed(command);
    assert.match(text, /^ℹ fail 0$/m, output);
    assert.match(text, /^ℹ skipped 0$/m, output);
    const passed = Number(/^ℹ pass (\d+)$/m.exec(text)?.[1] ?? 0);
    assert.ok(passed >= atLeast, `only ${passed} tests ran:\n${output}`);
  };

  test('without nf_tables the doctor names the modules of xtables, and then chooses it', () => {
    const bare = examined('doctor without tables');
    assert.deepEqual([bare.code, bare.firewall, resultOf(bare, 'nf_tables')], [1, null, 'fail']);
    assert.match(bare.next, /^modprobe ip_tables && modprobe ip6_tables/);
    const loaded = examined('doctor with tables');
    assert.deepEqual([loaded.code, loaded.firewall, resultOf(loaded, 'nf_tables')], [0, 'xtables', 'warn']);
    assert.match(nextOf(loaded, 'nf_tables'), /comes without nf_tables.*CONFIG_NF_TABLES/);
    for (const name of ['xtables raw', 'set match', 'ipset', 'module loading'])
      assert.equal(resultOf(loaded, name), 'ok', name);
    assert.equal(resultOf(examined('doctor with locked modules'), 'module loading'), 'warn');
  });

  test('without the raw table the doctor chooses nftables and warns', () => {
    const loaded = examined('doctor without raw');
    assert.deepEqual(
      [loaded.code, loaded.firewall, resultOf(loaded, 'xtables raw')],
      [0, 'nftables', 'warn'],
    );
    assert.match(nextOf(loaded, 'xtables raw'), /comes without iptable_raw.*CONFIG_IP_NF_RAW/);
    assert.equal(resultOf(loaded, 'set match'), 'ok');
  });

  test('the doctor fails without nf_tables and ipset, and where no module is loaded on demand', () => {
    const bare = examined('doctor without sets');
    assert.deepEqual([bare.code, bare.firewall, resultOf(bare, 'ipset')], [1, null, 'fail']);
    assert.match(nextOf(bare, 'ipset'), /comes without ip_set.*CONFIG_IP_SET/);
    const still = examined('doctor without modprobe');
    assert.deepEqual([still.code, resultOf(still, 'module loading')], [1, 'fail']);
  });

  test('without nf_tables the agent serves with xtables', () => {
    checkPassed('agent with tables', servingTests);
    assert.match(printed('agent with tables'), /auto: xtables/);
  });

  for (const what of ['tables', 'sets', 'raw'] as const)
    test(`without nf_tables the agent names what else is missing: ${missing[what]}`, () => {
      checkPassed(`agent without ${what}`, 1);
    });
});

interface Examined extends DoctorReport {
  readonly code: number;
}

function resultOf(report: DoctorReport, name: string): string | undefined {
  return report.checks.find((check) => check.name === name)?.result;
}

function nextOf(report: DoctorReport, name: string): string {
  return report.checks.find((check) => check.name === name)?.next ?? '';
}
