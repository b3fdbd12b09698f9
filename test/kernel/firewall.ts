// The firewall that node tests run with (VIPWARD_FIREWALL, as agents read it), and what depends on it.
import type { Node } from './node.ts';
import { capabilities } from './own-kernel.ts';

export const isXtables: boolean = process.env['VIPWARD_FIREWALL'] === 'xtables';

/** Why tests of table owners are skipped, or false: the agent wants owners that persist. */
export const ownerless: string | false = isXtables
  ? 'legacy tables have no owner'
  : !capabilities.ownerAndPersist && 'this kernel has no table owners that persist';

/** The values of --table-owner to test: without owners both mean the same. */
export const owners: readonly string[] = ownerless === false ? ['on', 'off'] : ['off'];

/** Why a test that no firewall takes part in is not run a second time, or false. */
export const alike: string | false = isXtables && 'no firewall takes part in it';

/** What `cleanup` calls all that is ours. */
export const ours: string = isXtables ? 'chains and sets vipward-*' : 'table inet vipward';

/** Commands of other programs that damage our rules. */
export const harms: readonly string[] = isXtables
  ? ['iptables-legacy -w -t raw -F', 'ip6tables-legacy -w -t mangle -F', 'ipset flush vipward-allow4']
  : ['nft flush ruleset', 'nft delete table inet vipward', 'nft flush set inet vipward allow4'];

/** Removes all our rules and sets. */
export function takeAll(node: Node): void {
  if (!isXtables) node.run('nft delete table inet vipward');
  for (const program of isXtables ? ['iptables-legacy', 'ip6tables-legacy'] : [])
    for (const table of ['raw', 'mangle'])
      for (const what of ['-F', '-X']) node.run(`${program} -w -t ${table} ${what}`);
  if (isXtables) node.run('ipset destroy');
}

/** All that is ours in the kernel, without counters, as the firewall's own tools print it. */
export function rulesOf(node: Node): string {
  if (!isXtables) return node.run('nft --stateless list table inet vipward');
  return ['iptables-legacy-save', 'ip6tables-legacy-save', 'ipset save']
    .flatMap((program) => node.run(program).split('\n'))
    .filter((line) => line.includes('vipward'))
    .map((line) => line.replaceAll(/\[\d+:\d+\]| packets \d+ bytes \d+/g, ''))
    .join('\n');
}

/** A port that is open, as those tools print it. */
export function openPort(address: string, protocol: 'tcp' | 'udp', port: number): RegExp {
  const number = protocol === 'tcp' ? 6 : 17;
  return isXtables
    ? new RegExp(`^add vipward-allow[46] ${RegExp.escape(address)},${protocol}:${port}$`, 'm')
    : new RegExp(`\\b${RegExp.escape(address)} \\. (${protocol}|${number}) \\. ${port}\\b`);
}

/** The words of `rulesOf`, sorted, because a set has no order. */
export function wordsOf(node: Node): string[] {
  return rulesOf(node)
    .split(/[\s,]+/)
    .sort();
}
