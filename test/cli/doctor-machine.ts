// A machine with given answers, for the doctor: nothing of the real machine is read.
import assert from 'node:assert/strict';
import type { Machine } from '../../src/cli/doctor/machine.ts';
import type { Check, DoctorReport } from '../../src/cli/doctor/report.ts';
import { examine } from '../../src/cli/doctor.ts';
import type { DumpRequest } from '../../src/dialects/dialect.ts';
import { message, put } from '../fake-kernel/bytes.ts';

export interface Told extends Partial<Omit<Machine, 'read' | 'names'>> {
  /** The errno of each message type that is refused. */
  readonly errnos?: Readonly<Record<number, number>>;
  /** Whole answers by message type. */
  readonly answers?: Readonly<Record<number, Uint8Array>>;
  /** Files by path; `EACCES` and the like for one that cannot be read. */
  readonly files?: Readonly<Record<string, string>>;
}

export const messages = {
  deleteAddress: 21,
  links: 18,
  generation: 0xa10,
  ipsetType: 0x60d,
  flowtables: 0xa17,
} as const;
const EINVAL = 22;
const ENODEV = 19;

/** A host on which everything is right, except for what is given. */
export function machineOf({ errnos = {}, answers = {}, files = {}, ...rest }: Told = {}): Machine {
  const known: Readonly<Record<string, string>> = {
    '/proc/modules': 'nf_tables 1 0 - Live 0x0\niptable_raw 1 0 - Live 0x0\nip6table_raw 1 0 - Live 0x0\n',
    '/proc/net/if_inet6': '',
    '/proc/sys/kernel/modules_disabled': '0\n',
    '/proc/sys/kernel/modprobe': '/sbin/modprobe\n',
    '/proc/uptime': '1000.00 900.00\n',
    ...files,
  };
  return {
    release: '6.1.0-test',
    ask: async (request) => {
      if (request.door === 'xtables') return new Uint8Array();
      const type = typeOf(request);
      const errno = errnos[type] ?? (type === messages.deleteAddress ? ENODEV : 0);
      if (errno !== 0) return errorAnswer(errno);
      return (
        answers[type] ??
        (type === messages.ipsetType ? message({ type, sequence: 1 }, [put(4, 7)]) : new Uint8Array())
      );
    },
    judge: async () => [],
    option: (_family, _name, value) => value,
    askXtables: async () => {
      const [setMatch, subject] = [66, 'match set'];
      const answer = (rest.option ?? (() => 0))(4, setMatch, new Uint8Array(30));
      const errno = typeof answer === 'number' ? answer : 0;
      return [{ family: 4, subject, errno, config: 'CONFIG_NETFILTER_XT_SET', module: 'xt_set' }];
    },
    rawSocket: () => 0,
    read: (path) => {
      const text = known[path];
      if (text === undefined) return { code: 'ENOENT' };
      return /^E[A-Z]+$/.test(text) ? { code: text } : { text };
    },
    names: (path) =>
      Object.keys(known).flatMap((file) =>
        file.startsWith(`${path}/`) ? [file.slice(path.length + 1).split('/')[0] ?? ''] : [],
      ),
    log: () => [],
    agent: async () => undefined,
    ...rest,
  };
}

/** The report on such a machine, in which every check is whole, and its checks by name. */
export async function checked(told: Told): Promise<{ report: DoctorReport; of(name: string): Check }> {
  const report = await examine(machineOf(told));
  for (const check of report.checks) {
    const { name, result, found, how, option, next } = check;
    assert.deepEqual(Object.keys(check), ['name', 'result', 'found', 'how', 'option', 'next'], name);
    for (const text of [name, found, how, next]) assert.ok(text, name);
    assert.ok(option === null || option.startsWith('CONFIG_'), name);
    assert.equal(result === 'ok', next === 'nothing to do', name);
  }
  const of = (name: string): Check => {
    const found = report.checks.find((check) => check.name === name);
    assert.ok(found, `no check ${name}`);
    return found;
  };
  return { report, of };
}

/** A message of rtnetlink: its header after struct nlmsghdr, and its attributes. */
export function rtMessage(type: number, header: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const bytes = Uint8Array.of(...new Uint8Array(16), ...header, ...parts.flatMap((part) => [...part]));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  return bytes;
}

/** RTM_NEWLINK with the attributes that the doctor reads. */
export function link(
  index: number,
  name: string,
  { kind = '', xdp = false }: { readonly kind?: string; readonly xdp?: boolean } = {},
): Uint8Array {
  const header = new Uint8Array(16);
  new DataView(header.buffer).setUint32(4, index, true);
  const parts = [put(3, name), put(18, [put(1, kind)]), put(43, [put(2, Uint8Array.of(xdp ? 1 : 0))])];
  return rtMessage(16, header, parts);
}

/** The answers of a kernel without nf_tables. */
export const withoutNftables: Told = {
  judge: async () => [{ object: null, errno: 95, words: '' }],
  errnos: { 2561: EINVAL, 2564: EINVAL, 2567: EINVAL, 2583: EINVAL, [messages.generation]: EINVAL },
};

function typeOf({ bytes }: DumpRequest): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, true);
}

/** struct nlmsghdr and struct nlmsgerr. */
function errorAnswer(errno: number): Uint8Array {
  const bytes = new Uint8Array(36);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, 2, true);
  view.setInt32(16, -errno, true);
  return bytes;
}
