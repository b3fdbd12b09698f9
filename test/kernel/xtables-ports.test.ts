// The ports of a VIP that a client reaches, also beside foreign NAT, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-ports.test.ts');
await import('./traffic-dnat.test.ts');

export {};
