// The firewall that tests of a node run with, VIPWARD_FIREWALL as agents take it, and what is said of it.
import type { Node } from './node.ts';

export const isXtables: boolean = process.env['VIPWARD_FIREWALL'] === 'xtables';

/** Whether the table belongs to the agent makes a difference where a table can belong to somebody. */
export const owners: readonly string[] = isXtables ? ['off'] : ['on', 'off'];

/** Why nothing is to be seen of owners here, or false. */
export const ownerless: string | false = isXtables && 'no legacy table belongs to anybody';

/** Why what no firewall has a part in is not looked at twice, or false. */
export const alike: string | false = isXtables && 'no firewall has a part in it';

/** What `cleanup` calls all that is ours. */
export const ours: string = isXtables ? 'chains and sets vipward-*' : 'table inet vipward';

/** What strangers do to it, each with one program. */
export const harms: readonly string[] = isXtables
  ? ['iptables-legacy -w -t raw -F', 'ip6tables-legacy -w -t mangle -F', 'ipset flush vipward-allow4']
  : ['nft flush ruleset', 'nft delete table inet vipward', 'nft flush set inet vipward allow4'];

/** Takes away all that is ours. */
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

/** Their words, whatever the order of a set. */
export function wordsOf(node: Node): string[] {
  return rulesOf(node)
    .split(/[\s,]+/)
    .sort();
}
