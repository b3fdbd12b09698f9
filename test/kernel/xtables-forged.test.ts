// Forged sources, NAT of them, and packets by lo, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-forged.test.ts');
await import('./traffic-loopback.test.ts');
await import('./traffic-translated.test.ts');

export {};
