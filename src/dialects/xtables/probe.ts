// Probes the abilities of this kernel's xtables and ipset: one request per feature, answered with an errno.

import { Writer } from '../../netlink/writer.ts';
import {
  Command,
  INFO_BYTES,
  matchRevisions,
  SetAttribute,
  type SetType,
  SO_GET_INFO,
  setTypes,
} from './constants.ts';
import { families, shapeOf } from './families.ts';
import { command } from './ipset.ts';

export interface Question {
  readonly family: 4 | 6;
  /** `match set`, `table raw`, or `type hash:ip`. */
  readonly subject: string;
  /** getsockopt of a raw socket, or an ipset message. */
  readonly ask: { readonly option: number; readonly value: Uint8Array } | { readonly message: Uint8Array };
  /** The kernel option and the module that provide the feature. */
  readonly config: string;
  readonly module: string;
}

/** IPT_SO_GET_REVISION_MATCH and IP6T_SO_GET_REVISION_MATCH. */
const revisionOption = { 4: 66, 6: 68 } as const;
/** struct xt_get_revision: 29 bytes of name, one byte of revision. */
const revisionBytes = 30;

/** Requests for matches and set types. None of them creates anything. */
export function questions(): Question[] {
  return families.flatMap(({ family, icmpMatch }) => {
    const suffix = family === 6 ? '6' : '';
    const matches = [
      setMatchQuestion(family),
      matchQuestion(family, 'comment', {
        config: 'CONFIG_NETFILTER_XT_MATCH_COMMENT',
        module: 'xt_comment',
      }),
      matchQuestion(family, icmpMatch, {
        config: `CONFIG_IP${suffix}_NF_IPTABLES`,
        module: `ip${suffix}_tables`,
      }),
      matchQuestion(family, 'conntrack', {
        config: 'CONFIG_NETFILTER_XT_MATCH_CONNTRACK',
        module: 'xt_conntrack',
      }),
    ];
    const addrtype = { config: 'CONFIG_NETFILTER_XT_MATCH_ADDRTYPE', module: 'xt_addrtype' };
    const frag = { config: 'CONFIG_IP6_NF_MATCH_FRAG', module: 'ip6t_frag' };
    const types = (Object.keys(setTypes) as SetType[]).map((type) => typeQuestion(family, type));
    const of6 = [matchQuestion(6, 'frag', frag), matchQuestion(6, 'addrtype', addrtype)];
    return [...matches, ...(family === 6 ? of6 : []), ...types];
  });
}

/** Requests for a table. The request creates the table, so it is sent only for tables that we will use. */
export function tableQuestions(table: TableName): Question[] {
  return families.map(({ family }) => tableQuestion(family, table));
}

type TableName = 'raw' | 'mangle' | 'filter';

export function tableQuestion(family: 4 | 6, table: TableName): Question {
  const value = new Uint8Array(INFO_BYTES);
  value.set(new TextEncoder().encode(table));
  const of6 = family === 6 ? '6' : '';
  return {
    family,
    subject: `table ${table}`,
    ask: { option: SO_GET_INFO, value },
    config: `CONFIG_IP${of6}_NF_${table.toUpperCase()}`,
    module: `ip${of6}table_${table}`,
  };
}

export function setMatchQuestion(family: 4 | 6): Question {
  return matchQuestion(family, 'set', { config: 'CONFIG_NETFILTER_XT_SET', module: 'xt_set' });
}

function matchQuestion(
  family: 4 | 6,
  name: keyof typeof matchRevisions,
  cure: Pick<Question, 'config' | 'module'>,
): Question {
  const value = new Uint8Array(revisionBytes);
  value.set(new TextEncoder().encode(name));
  value[revisionBytes - 1] = matchRevisions[name];
  return { family, subject: `match ${name}`, ask: { option: revisionOption[family], value }, ...cure };
}

export function typeQuestion(family: 4 | 6, type: SetType): Question {
  const writer = new Writer(64);
  command(writer, Command.TYPE, { sequence: 1 }, () => {
    writer.attributeText(SetAttribute.TYPENAME, type);
    writer.attributeU8(SetAttribute.FAMILY, shapeOf(family).nfproto);
  });
  const name = type.replace(':', '_').replaceAll(',', '');
  return {
    family,
    subject: `type ${type}`,
    ask: { message: writer.bytes.slice() },
    config: `CONFIG_IP_SET_${name.toUpperCase()}`,
    module: `ip_set_${name}`,
  };
}
