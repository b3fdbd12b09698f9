// What a client of a VIP can reach, and what NAT does not change about it, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-ports.test.ts');
await import('./traffic-dnat.test.ts');

export {};
