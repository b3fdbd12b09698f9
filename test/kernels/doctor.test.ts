// The doctor on Debian's 6.1 with a part of the kernel left out: what it finds, its next step, and that the
// step helps.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DoctorReport } from '../../src/cli/doctor/report.ts';
import { cannotBoot, runInGuest } from './guest.ts';

const kernel = '6.1';
const seconds = 280;

interface Examined extends DoctorReport {
  readonly code: number;
}

/** The reports of the doctor in a guest without some modules, before and after each of the commands. */
async function examine(without: readonly string[], commands: readonly string[]): Promise<Examined[]> {
  const doctor = `${process.execPath} $VIPWARD_TEST_PROGRAM doctor -o json; echo "code $?"`;
  const script = [doctor, ...commands.flatMap((command) => [command, doctor])].join('; ');
  const output = await runInGuest({ kernel, seconds, without, script });
  const reports = output.split(/^code (\d+)$/m);
  assert.equal(reports.length, 2 * commands.length + 3, output);
  return commands.concat('').map((_, index) => {
    const report = JSON.parse(reports[index * 2] ?? '') as DoctorReport;
    return { ...report, code: Number(reports[index * 2 + 1]) };
  });
}

function resultOf(report: DoctorReport | undefined, name: string): string | undefined {
  return report?.checks.find((check) => check.name === name)?.result;
}

function nextOf(report: DoctorReport | undefined, name: string): string {
  return report?.checks.find((check) => check.name === name)?.next ?? '';
}

describe('doctor', () => {
  const skip = cannotBoot(kernel);

  test('without nf_tables the doctor names the modules of xtables, and chooses it once they are loaded', {
    skip,
  }, async () => {
    const [bare, loaded, locked] = await examine(
      ['nf_tables'],
      ['modprobe ip_tables && modprobe ip6_tables', 'echo 1 > /proc/sys/kernel/modules_disabled'],
    );
    assert.deepEqual([bare?.code, bare?.firewall, resultOf(bare, 'nf_tables')], [1, null, 'fail']);
    assert.match(bare?.next ?? '', /^modprobe ip_tables && modprobe ip6_tables/);
    assert.deepEqual([loaded?.code, loaded?.firewall, resultOf(loaded, 'nf_tables')], [0, 'xtables', 'warn']);
    assert.match(nextOf(loaded, 'nf_tables'), /comes without nf_tables.*CONFIG_NF_TABLES/);
    for (const name of ['xtables raw', 'set match', 'ipset', 'module loading'])
      assert.equal(resultOf(loaded, name), 'ok', name);
    assert.equal(resultOf(locked, 'module loading'), 'warn');
  });

  test('without the raw table the doctor chooses nftables and warns', { skip }, async () => {
    const [, loaded] = await examine(['iptable_raw'], ['modprobe ip_tables && modprobe ip6_tables']);
    assert.deepEqual(
      [loaded?.code, loaded?.firewall, resultOf(loaded, 'xtables raw')],
      [0, 'nftables', 'warn'],
    );
    assert.match(nextOf(loaded, 'xtables raw'), /comes without iptable_raw.*CONFIG_IP_NF_RAW/);
    assert.equal(resultOf(loaded, 'set match'), 'ok');
  });

  test('the doctor fails without nf_tables and ipset, and where no module is loaded on demand', {
    skip,
  }, async () => {
    const [bare, locked] = await examine(
      ['nf_tables', 'ip_set'],
      ['modprobe ip_tables && modprobe ip6_tables; echo > /proc/sys/kernel/modprobe'],
    );
    assert.deepEqual([bare?.code, bare?.firewall, resultOf(bare, 'ipset')], [1, null, 'fail']);
    assert.match(nextOf(bare, 'ipset'), /comes without ip_set.*CONFIG_IP_SET/);
    assert.deepEqual([locked?.code, resultOf(locked, 'module loading')], [1, 'fail']);
  });
});
