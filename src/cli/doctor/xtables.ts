// Checks legacy xtables and ipset with requests that create no table: GET_INFO of a missing table creates it
// with its hooks.

import type { DumpRequest } from '../../dialects/dialect.ts';
import {
  Command,
  INFO_BYTES,
  ipsetProtocol,
  SetAttribute,
  setTypes,
} from '../../dialects/xtables/constants.ts';
import { describeErrno } from '../../netlink/ack.ts';
import { nfgenmsg } from '../../netlink/batch.ts';
import { Errno, NLM_F_REQUEST } from '../../netlink/message.ts';
import { Writer } from '../../netlink/writer.ts';
import type { Machine } from './machine.ts';
import type { Modules } from './modules.ts';
import { errnoIn } from './rights.ts';

/** One part that xtables needs: the finding, and the modules that would provide it. */
export interface Part {
  readonly found: string;
  readonly lacks: readonly string[] | null;
  readonly option: string;
  /** The kernel does not let this process ask, so it is unknown whether anything is missing. */
  readonly isForbidden?: boolean;
}

const SO_GET_INFO = 64;
/** IPT_SO_GET_REVISION_MATCH and IP6T_SO_GET_REVISION_MATCH. */
const revisionOption = { 4: 66, 6: 68 } as const;
/** struct xt_get_revision: 29 bytes of name, one byte of revision. */
const revisionBytes = 30;
const setRevision = 4;

/** The names of the existing tables; undefined if they cannot be read. */
export function tableNames(machine: Machine, family: 4 | 6): readonly string[] | undefined {
  const file = machine.read(`/proc/net/ip${family === 4 ? '' : '6'}_tables_names`);
  if ('text' in file) return file.text.split('\n').filter((name) => name !== '');
  return file.code === 'ENOENT' ? [] : undefined;
}

/** `spare`: another firewall works, so no table is created just for this check. */
export function askXtables(
  machine: Machine,
  modules: Modules,
  { family, spare }: { readonly family: 4 | 6; readonly spare: boolean },
): { raw: Part; setMatch: Part } {
  const ip = family === 4 ? 'ip' : 'ip6';
  const answer = revisionOf(machine, family, 'set', setRevision);
  const base = { option: 'CONFIG_IP_NF_IPTABLES', lacks: [`${ip}_tables`] };
  if (answer === Errno.ENOPROTOOPT) {
    const found = `${ip}_tables is not loaded, and never loads by itself`;
    return { raw: { found, ...base }, setMatch: { found, ...base } };
  }
  const option = 'CONFIG_NETFILTER_XT_SET';
  const setMatch =
    answer === 0
      ? { found: `revision ${setRevision}`, lacks: null, option }
      : { found: `IPv${family}: ${describeErrno(answer)}`, lacks: ['xt_set'], option, ...forbidden(answer) };
  return { raw: rawPart(machine, modules, { family, spare }), setMatch };
}

function rawPart(
  machine: Machine,
  modules: Modules,
  { family, spare }: { readonly family: 4 | 6; readonly spare: boolean },
): Part {
  const name = family === 4 ? 'iptable_raw' : 'ip6table_raw';
  const option = family === 4 ? 'CONFIG_IP_NF_RAW' : 'CONFIG_IP6_NF_RAW';
  const there = { lacks: null, option };
  if (tableNames(machine, family)?.includes('raw') === true) return { found: 'the table is there', ...there };
  if (modules.has(name)) return { found: `${name} is in the kernel`, ...there };
  if (!spare) {
    const value = new Uint8Array(INFO_BYTES);
    value.set(new TextEncoder().encode('raw'));
    const answer = machine.option(family, SO_GET_INFO, value);
    if (typeof answer !== 'number') return { found: 'the table answers', ...there };
    const found = `IPv${family}: no raw table: ${describeErrno(answer)}`;
    return { found, lacks: [name], option, ...forbidden(answer) };
  }
  const comes = modules.comesWith(name);
  if (comes === false) return { found: `this kernel comes without ${name}`, lacks: [name], option };
  const found = 'not probed: nf_tables works, and a probe creates the table';
  return { found: comes === true ? `${name} can be loaded` : found, ...there };
}

function forbidden(errno: number): Pick<Part, 'isForbidden'> {
  return { isForbidden: errno === Errno.EPERM };
}

/** The errno with which the kernel refuses a revision of a match; 0 if it has it. */
function revisionOf(machine: Machine, family: 4 | 6, name: string, revision: number): number {
  const value = new Uint8Array(revisionBytes);
  value.set(new TextEncoder().encode(name));
  value[revisionBytes - 1] = revision;
  const answer = machine.option(family, revisionOption[family], value);
  return typeof answer === 'number' ? answer : 0;
}

export async function ipsetTypes(machine: Machine): Promise<Part> {
  const option = 'CONFIG_IP_SET';
  const missing: string[] = [];
  for (const type of Object.keys(setTypes)) {
    const errno = errnoIn(await machine.ask(typeQuestion(type)));
    // Without ip_set every command fails; with it, a missing type gives an errno of ipset's own.
    if (errno >= 4096) missing.push(type);
    else if (errno !== 0) return { found: `missing: ${describeErrno(errno)}`, lacks: ['ip_set'], option };
  }
  if (missing.length === 0) return { found: Object.keys(setTypes).join(', '), lacks: null, option };
  return {
    found: `without ${missing.join(', ')}`,
    lacks: missing.map((type) => `ip_set_${type.replace(':', '_').replaceAll(',', '')}`),
    option: `CONFIG_IP_SET_${(missing[0] ?? '').replace(':', '_').replaceAll(',', '').toUpperCase()}`,
  };
}

function typeQuestion(type: string): DumpRequest {
  const writer = new Writer(64);
  const place = writer.beginMessage(Command.TYPE, NLM_F_REQUEST, 1);
  nfgenmsg(writer, 0);
  writer.attributeU8(SetAttribute.PROTOCOL, ipsetProtocol);
  writer.attributeText(SetAttribute.TYPENAME, type);
  writer.attributeU8(SetAttribute.FAMILY, 2);
  writer.endMessage(place);
  return { door: 'nfnetlink', bytes: writer.bytes.slice() };
}
