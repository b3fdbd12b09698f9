// Checks which firewall this kernel has: nf_tables, or xtables with raw, the set match and ipset. The
// requests make the kernel load its modules.

import { choose } from '../../dialects/choose.ts';
import { probeStep, readCapabilities } from '../../dialects/nftables/probe.ts';
import { describeErrno } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
import { type Machine, textAt } from './machine.ts';
import { type Modules, moduleCheck, readModules, remedy } from './modules.ts';
import { type Check, type DoctorReport, fail, nothingToDo, ok, warn } from './report.ts';
import { askXtables, ipsetTypes, type Part } from './xtables.ts';

/** The result for one feature that a dialect needs. */
interface Finding {
  readonly works: boolean;
  readonly part: Pick<Check, 'name' | 'found' | 'how' | 'option'>;
  readonly next: string;
}

const asAgent = { name: 'xtables', how: 'every probe of the agent', option: null } as const;

export interface Firewalls {
  readonly firewall: DoctorReport['firewall'];
  readonly checks: readonly Check[];
}

/** `mayAsk` false: the kernel answers every request with EPERM, so the results are unknown. */
export async function firewallChecks(machine: Machine, mayAsk: boolean): Promise<Firewalls> {
  const modules = readModules(machine);
  const nftables = await nftablesFinding(machine, modules);
  const xtables = await xtablesFindings(machine, modules, nftables.works);
  const all = [nftables, ...xtables];
  if (!mayAsk) {
    const next = 'see CAP_NET_ADMIN';
    const unknown = all.map(({ part }) =>
      warn({ ...part, found: 'not known: the kernel refuses to answer', next }),
    );
    return { firewall: null, checks: [...unknown, moduleCheck(modules, true)] };
  }
  // The choice of the agent, by the agent's own questions.
  const choice = choose(
    'auto',
    nftables.works ? 0 : Errno.ENOENT,
    nftables.works ? [] : await machine.askXtables(),
  );
  const firewall = choice.name;
  const checks = all.map(({ works, part, next }) => {
    if (works) return ok(part);
    return firewall === null ? fail({ ...part, next }) : warn({ ...part, next });
  });
  if (choice.name === 'xtables' && choice.shortfalls.length > 0) {
    const [found, next] = [
      choice.shortfalls.join('; '),
      'load the named modules, then start the agent again',
    ];
    checks.push(warn({ ...asAgent, found, next }));
  }
  if (choice.name === null && xtables.every(({ works }) => works)) {
    const [found, next] = [
      choice.missing.join('; '),
      'load the named modules, or use a kernel that has them',
    ];
    checks.push(fail({ ...asAgent, found, next }));
  }
  return { firewall, checks: [...checks, moduleCheck(modules, firewall !== null)] };
}

async function nftablesFinding(machine: Machine, modules: Modules): Promise<Finding> {
  const step = probeStep();
  const receipt = await machine.judge({ door: 'nfnetlink', steps: [step] });
  const probed = typeof receipt === 'number' ? null : readCapabilities(receipt);
  const errno = probed?.refusal ?? Number(receipt);
  const option = 'CONFIG_NF_TABLES';
  const how = 'a batch without an end: table inet, flags owner and persist, a counting set';
  const part = { name: 'nf_tables', how, option };
  if (errno !== 0) {
    const next = remedy(modules, ['nf_tables'], `${option}, CONFIG_NF_TABLES_INET`);
    return { works: false, part: { ...part, found: `missing: ${describeErrno(errno)}` }, next };
  }
  const guarded = probed?.ownerAndPersist === true;
  const found = guarded
    ? 'works; the agent can lock its table against other processes (flags owner, persist)'
    : 'works; the agent repairs its table after changes by other processes (no flags owner, persist)';
  return { works: true, part: { ...part, found }, next: nothingToDo };
}

async function xtablesFindings(machine: Machine, modules: Modules, spare: boolean): Promise<Finding[]> {
  const families = textAt(machine, '/proc/net/if_inet6') === undefined ? ([4] as const) : ([4, 6] as const);
  const asked = await Promise.all(families.map((family) => askXtables(machine, modules, { family, spare })));
  const types = await ipsetTypes(machine);
  return [
    finding(
      asked.map(({ raw }) => raw),
      { name: 'xtables raw', how: `${namesFiles}, GET_REVISION; GET_INFO where that makes no table` },
      modules,
    ),
    finding(
      asked.map(({ setMatch }) => setMatch),
      { name: 'set match', how: 'IPT_SO_GET_REVISION_MATCH of set, revision 4' },
      modules,
    ),
    finding([types], { name: 'ipset', how: 'IPSET_CMD_TYPE of each type that is used' }, modules),
  ];
}

const namesFiles = '/proc/net/ip_tables_names and ip6_tables_names';

/** The missing parts in one line; the first one decides the next step. */
function finding(parts: readonly Part[], of: Pick<Check, 'name' | 'how'>, modules: Modules): Finding {
  const missing = parts.filter(({ lacks }) => lacks !== null);
  const [first] = missing;
  if (first?.lacks == null) {
    const found = [...new Set(parts.map((part) => part.found))].join('; ');
    return { works: true, part: { ...of, found, option: parts[0]?.option ?? null }, next: nothingToDo };
  }
  const { option } = first;
  // A process with CAP_NET_ADMIN is refused only the raw socket for xtables requests.
  if (missing.some(({ isForbidden }) => isForbidden)) {
    const found = `not known: ${describeErrno(Errno.EPERM)}`;
    return { works: false, part: { ...of, found, option }, next: 'see CAP_NET_RAW' };
  }
  const names = [...new Set(missing.flatMap(({ lacks }) => lacks ?? []))];
  const found = missing.map((part) => part.found).join('; ');
  return { works: false, part: { ...of, found, option }, next: remedy(modules, names, option) };
}
