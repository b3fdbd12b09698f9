// Checks legacy xtables and ipset with those questions of an agent that create no table: GET_INFO of a
// missing table creates it with its hooks.

import { matchRevisions, type SetType, setTypes } from '../../dialects/xtables/constants.ts';
import {
  type Question,
  setMatchQuestion,
  tableQuestion,
  typeQuestion,
} from '../../dialects/xtables/probe.ts';
import { describeErrno } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
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

/** The names of the existing tables; undefined if they cannot be read. */
export function tableNames(machine: Machine, family: 4 | 6): readonly string[] | undefined {
  const file = machine.read(`/proc/net/ip${family === 4 ? '' : '6'}_tables_names`);
  if ('text' in file) return file.text.split('\n').filter((name) => name !== '');
  return file.code === 'ENOENT' ? [] : undefined;
}

/** `spare`: another firewall works, so no table is created just for this check. */
export async function askXtables(
  machine: Machine,
  modules: Modules,
  { family, spare }: { readonly family: 4 | 6; readonly spare: boolean },
): Promise<{ raw: Part; setMatch: Part }> {
  const question = setMatchQuestion(family);
  const errno = await errnoOf(machine, question);
  if (errno === Errno.ENOPROTOOPT) {
    const name = `ip${family === 4 ? '' : '6'}_tables`;
    const found = `${name} is not loaded, and never loads by itself`;
    const part = { found, option: 'CONFIG_IP_NF_IPTABLES', lacks: [name] };
    return { raw: part, setMatch: part };
  }
  const setMatch =
    errno === 0
      ? { found: `revision ${matchRevisions.set}`, lacks: null, option: question.config }
      : missing(question, errno, `IPv${family}`);
  return { raw: await rawPart(machine, modules, { family, spare }), setMatch };
}

async function rawPart(
  machine: Machine,
  modules: Modules,
  { family, spare }: { readonly family: 4 | 6; readonly spare: boolean },
): Promise<Part> {
  const question = tableQuestion(family, 'raw');
  const { module, config: option } = question;
  const there = { lacks: null, option };
  if (tableNames(machine, family)?.includes('raw') === true) return { found: 'the table is there', ...there };
  if (modules.has(module)) return { found: `${module} is in the kernel`, ...there };
  if (!spare) {
    const errno = await errnoOf(machine, question);
    return errno === 0
      ? { found: 'the table answers', ...there }
      : missing(question, errno, `IPv${family}: no raw table`);
  }
  const comes = modules.comesWith(module);
  if (comes === false) return { found: `this kernel comes without ${module}`, lacks: [module], option };
  const found = 'not probed: nf_tables works, and a probe creates the table';
  return { found: comes === true ? `${module} can be loaded` : found, ...there };
}

function missing({ module, config }: Question, errno: number, what: string): Part {
  const isForbidden = errno === Errno.EPERM;
  return { found: `${what}: ${describeErrno(errno)}`, lacks: [module], option: config, isForbidden };
}

export async function ipsetTypes(machine: Machine): Promise<Part> {
  const option = 'CONFIG_IP_SET';
  const types = Object.keys(setTypes) as SetType[];
  const lacking: { readonly type: SetType; readonly question: Question }[] = [];
  for (const type of types) {
    const question = typeQuestion(4, type);
    const errno = await errnoOf(machine, question);
    // Without ip_set every command fails; with it, a missing type gives an errno of ipset's own.
    if (errno >= 4096) lacking.push({ type, question });
    else if (errno !== 0) return { found: `missing: ${describeErrno(errno)}`, lacks: ['ip_set'], option };
  }
  const [first] = lacking;
  if (first === undefined) return { found: types.join(', '), lacks: null, option };
  return {
    found: `without ${lacking.map(({ type }) => type).join(', ')}`,
    lacks: lacking.map(({ question }) => question.module),
    option: first.question.config,
  };
}

/** The errno with which the kernel refuses a question; 0 if it has the part. */
async function errnoOf(machine: Machine, { family, ask }: Question): Promise<number> {
  if ('message' in ask) return errnoIn(await machine.ask({ door: 'nfnetlink', bytes: ask.message }));
  const answer = machine.option(family, ask.option, ask.value);
  return typeof answer === 'number' ? answer : 0;
}
