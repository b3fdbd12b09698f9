// Forged sources, and NAT of them, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-forged.test.ts');
await import('./traffic-translated.test.ts');

export {};
