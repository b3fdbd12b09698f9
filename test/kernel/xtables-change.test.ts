// Changes of ports, source ranges, ICMP, and the node's own traffic, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-change.test.ts');
await import('./traffic-icmp.test.ts');
await import('./traffic-node.test.ts');
await import('./traffic-ranges.test.ts');

export {};
