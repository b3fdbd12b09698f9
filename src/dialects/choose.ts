// Chooses the firewall that fits this kernel, from the configured wish and the kernel's answers alone.

import { describeErrno } from '../netlink/ack.ts';
import { Errno } from '../netlink/message.ts';

/** A question to xtables or ipset and the errno of its answer; 0 means yes. */
export interface Answer {
  readonly family: 4 | 6;
  /** `match set`, `table raw`, or `type hash:ip`. */
  readonly subject: string;
  readonly errno: number;
  /** The kernel option and the module that provide the feature. */
  readonly config: string;
  readonly module: string;
}

export type Choice =
  | { readonly name: 'nftables' }
  | {
      readonly name: 'xtables';
      readonly places: {
        readonly guard: 'raw' | 'mangle';
        readonly input: 'mangle' | 'filter';
        readonly egress: 'mangle' | null;
      };
      readonly fragments: boolean;
      readonly localAddresses: boolean;
      /** Features that work less well on this kernel, each with the option and module that would help. */
      readonly shortfalls: readonly string[];
    }
  | { readonly name: null; readonly missing: readonly string[] };

/** The consequences of a kernel whose rules cannot test whether an address is one of the node. */
export const unasked: string =
  'a packet with a VIP as its forged source, by IPv6 or in a bridge, opens ports that the VIP sends from, ' +
  'and datagrams that answer a VIP of another node are dropped';

export type Wish = 'auto' | 'nftables' | 'xtables';

/**
 * `nftables` is the errno with which nf_tables refuses everything, 0 where it works. `xtables` may be empty
 * where nf_tables works and the wish allows it.
 */
export function choose(wish: Wish, nftables: number, xtables: readonly Answer[]): Choice {
  if (wish !== 'xtables' && nftables === 0) return { name: 'nftables' };
  const missing = wish === 'xtables' ? [] : [nftablesMissing(nftables)];
  if (wish === 'nftables') return { name: null, missing };
  const lacks = xtablesMissing(xtables);
  if (lacks.length > 0) return { name: null, missing: [...missing, ...lacks] };
  const guard = has(xtables, 'table raw') ? 'raw' : 'mangle';
  const input = has(xtables, 'table mangle') ? 'mangle' : 'filter';
  const egress = has(xtables, 'table mangle') ? 'mangle' : null;
  return {
    name: 'xtables',
    places: { guard, input, egress },
    shortfalls: shortfallsOf(xtables),
    fragments: has(xtables, 'match frag'),
    localAddresses: has(xtables, 'match addrtype'),
  };
}

/** Whether both address families answered yes. */
function has(answers: readonly Answer[], subject: string): boolean {
  const found = answers.filter((answer) => answer.subject === subject);
  return found.length > 0 && found.every(({ errno }) => errno === 0);
}

function nftablesMissing(errno: number): string {
  if (errno === Errno.EPERM) return 'nf_tables: EPERM; the agent needs CAP_NET_ADMIN';
  return `nf_tables: ${describeErrno(errno)}; needs CONFIG_NF_TABLES_INET (modprobe nf_tables)`;
}

/** The features without which xtables cannot serve at all, each with the command that loads it. */
function xtablesMissing(answers: readonly Answer[]): string[] {
  if (answers.some(({ errno }) => errno === Errno.EPERM))
    return ['xtables: EPERM; the agent needs CAP_NET_ADMIN'];
  const absent = answers.find(({ errno }) => errno === Errno.EAFNOSUPPORT);
  if (absent !== undefined)
    return [`xtables: no IPv${absent.family} in this kernel; boot without ipv6.disable=1, or use nf_tables`];
  if (answers.some(({ errno, subject }) => errno === Errno.ENOPROTOOPT && subject.startsWith('match'))) {
    return ['ip_tables: ENOPROTOOPT; needs CONFIG_IP_NF_IPTABLES (modprobe ip_tables ip6_tables)'];
  }
  const tables = has(answers, 'table raw') || has(answers, 'table mangle');
  const input = has(answers, 'table mangle') || has(answers, 'table filter');
  const needed = answers.filter(({ subject, errno }) => {
    if (errno === 0 || subject === 'match frag' || subject === 'match addrtype') return false;
    if (subject === 'table raw' || subject === 'table mangle')
      return !tables || (subject === 'table mangle' && !input);
    return subject !== 'table filter' || !input;
  });
  return needed.map(inWords);
}

function shortfallsOf(answers: readonly Answer[]): string[] {
  const words: Readonly<Record<string, string>> = {
    'table raw': 'VIPs are guarded in mangle, after conntrack',
    'table mangle': 'the second guard is in filter, and no VIP can have egress',
    'match frag': 'later fragments of IPv6 are dropped unless conntrack reassembles them',
    'match addrtype': unasked,
  };
  return answers.flatMap((answer) => {
    const what = words[answer.subject];
    return answer.errno === 0 || what === undefined ? [] : [`${inWords(answer)}: ${what}`];
  });
}

function inWords({ family, subject, errno, config, module }: Answer): string {
  return `${subject} of IPv${family}: ${describeErrno(errno)}; needs ${config} (modprobe ${module})`;
}
