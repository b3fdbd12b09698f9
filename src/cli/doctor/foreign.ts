// Checks what other programs have in this kernel: rules that would drop packets that ours accept, the tool
// that wrote them, and flows that bypass all rules.

import { ChainAttribute, Message, tableName } from '../../dialects/nftables/constants.ts';
import { chainDump, dump, ruleDump } from '../../dialects/nftables/dumps.ts';
import { type ForeignChain, familyName } from '../../dialects/nftables/foreign.ts';
import { type DroppingChain, readDropping } from '../../dialects/nftables/foreign-rules.ts';
import { type LegacyTable, legacyDumps, readLegacy } from '../../dialects/xtables/foreign.ts';
import { Errno } from '../../netlink/message.ts';
import { attributesOf, messagesOf } from '../../netlink/reader.ts';
import { bytesOf, type Machine, type OrErrno } from './machine.ts';
import { type Check, type DoctorReport, ok, warn } from './report.ts';
import { errnoIn } from './rights.ts';
import { tableNames } from './xtables.ts';

export interface Foreign {
  readonly checks: readonly Check[];
  readonly rules: DoctorReport['rules'];
}

/** Chains of kubelet and kubeadm that show which iptables tool the host uses (iptables-wrappers). */
const hints = ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'];
const firstTables = ['filter', 'nat', 'mangle', 'raw', 'security'];
const baseChains = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'];
const NFT_MSG_GETFLOWTABLE = 0xa17;
const NFT_MSG_NEWFLOWTABLE = 0xa16;

export async function foreignChecks(machine: Machine): Promise<Foreign> {
  const [chains, rules] = [await machine.ask(chainDump()), await machine.ask(ruleDump())];
  const nft =
    isRefused(chains) || isRefused(rules) ? undefined : readDropping(bytesOf(chains), bytesOf(rules));
  const legacy = await readTables(machine);
  const count = legacy?.reduce((sum, { rules: held }) => sum + held, 0);
  const all = [
    ...(nft?.chains ?? []).map((chain) => chainCheck(chain, 'nft')),
    ...(legacy ?? []).flatMap((table) => table.chains.map((chain) => chainCheck(chain, 'iptables-legacy'))),
  ];
  const how = 'NFT_MSG_GETCHAIN, NFT_MSG_GETRULE; GET_ENTRIES of the tables that are there';
  const none = {
    name: 'foreign chain',
    found: 'no foreign rule can drop incoming packets',
    how,
    option: null,
  };
  return {
    checks: [
      ...(all.length > 0 ? all : [nft === undefined ? unknown(none) : ok(none)]),
      nft === undefined ? unknown(tool) : toolCheck(bytesOf(chains), legacy ?? []),
      await flowtableCheck(machine),
    ],
    rules: { legacy: count ?? null, nft: nft?.rules ?? null },
  };
}

function chainCheck(chain: DroppingChain, tool: 'nft' | 'iptables-legacy'): Check {
  const { family, table, hook, priority, policy, drops } = chain;
  const does = [
    ...(policy === 'drop' ? ['policy drop'] : []),
    ...(drops > 0 ? [`${drops} ${drops === 1 ? 'rule drops' : 'rules drop'}`] : []),
  ];
  return warn({
    name: 'foreign chain',
    found: `${family} ${table} ${chain.chain} (${hook}, priority ${priority}, ${tool}): ${does.join(', ')}`,
    how: tool === 'nft' ? 'NFT_MSG_GETCHAIN, NFT_MSG_GETRULE' : 'GET_ENTRIES',
    option: null,
    next: `check that it accepts your VIPs, as an accept by vipward does not end it: ${listing(chain, tool)}`,
  });
}

function listing({ family, table, chain }: ForeignChain, tool: 'nft' | 'iptables-legacy'): string {
  if (tool === 'nft') return `nft list chain ${family} ${table} ${chain}`;
  return `${family === 'ip' ? 'iptables' : 'ip6tables'}-legacy -t ${table} -S ${chain}`;
}

/** The existing tables; undefined if their names cannot be read. */
async function readTables(machine: Machine): Promise<LegacyTable[] | undefined> {
  if (tableNames(machine, 4) === undefined) return undefined;
  const replies: Uint8Array[] = [];
  for (const request of legacyDumps()) replies.push(bytesOf(await machine.ask(request)));
  return readLegacy(replies);
}

/** Without nf_tables the kernel returns another errno, and it then has no foreign rules. */
function isRefused(answer: OrErrno<Uint8Array>): boolean {
  return errnoIn(answer) === Errno.EPERM;
}

function unknown(part: Pick<Check, 'name' | 'how' | 'option'>): Check {
  return warn({ ...part, found: 'not known: the kernel refuses to answer', next: 'see CAP_NET_ADMIN' });
}

const tool = {
  name: 'iptables',
  how: `base chains and ${hints.join(', ')} in nf_tables and in the tables of xtables`,
  option: null,
} as const;

/** The iptables tool of the host's other software. It may use both, which does not affect our rules. */
function toolCheck(chains: Uint8Array, legacy: readonly LegacyTable[]): Check {
  const nft = new Set<string>();
  let hint: string | undefined;
  for (const { type, payload } of messagesOf(chains)) {
    if (type !== Message.NEWCHAIN) continue;
    const attributes = attributesOf(payload, 4);
    const family = familyName(payload);
    const [table, chain] = [attributes.text(ChainAttribute.TABLE), attributes.text(ChainAttribute.NAME)];
    if (!/^ip6?$/.test(family) || !firstTables.includes(table)) continue;
    if (baseChains.includes(chain)) nft.add(`${family} ${table}`);
    if (table === 'mangle' && hints.includes(chain)) hint ??= `${chain} in ${family} mangle`;
  }
  const held = legacy.filter(({ rules }) => rules > 0);
  const legacyHint = legacy.find(
    ({ table, names }) => table === 'mangle' && names.some((name) => hints.includes(name)),
  );
  const words = [
    ...(nft.size > 0 || hint ? [`iptables-nft${hint === undefined ? '' : ` (${hint})`}`] : []),
    ...(held.length > 0 || legacyHint
      ? [`iptables-legacy${legacyHint === undefined ? '' : ' (a hint of Kubernetes in mangle)'}`]
      : []),
  ];
  const tools = words.length === 0 ? 'neither iptables-nft nor iptables-legacy' : words.join(' and ');
  return ok({
    ...tool,
    found: `${tools}; either works: the table of vipward runs first, and only restricts`,
  });
}

async function flowtableCheck(machine: Machine): Promise<Check> {
  const part = { name: 'flowtable', how: 'NFT_MSG_GETFLOWTABLE', option: null };
  const answer = await machine.ask(dump(NFT_MSG_GETFLOWTABLE, 0));
  const found: string[] = [];
  for (const { type, payload } of messagesOf(bytesOf(answer))) {
    if (type !== NFT_MSG_NEWFLOWTABLE) continue;
    const attributes = attributesOf(payload, 4);
    const [table, name] = [attributes.text(1), attributes.text(2)];
    if (table !== tableName) found.push(`${familyName(payload)} ${table} ${name}`);
  }
  if (isRefused(answer)) return unknown(part);
  if (found.length === 0) return ok({ ...part, found: 'none' });
  const next = 'an offloaded flow goes on after its port is closed: keep VIPs out of the `flow add` rules';
  return warn({ ...part, found: found.join(', '), next });
}
