// Forged sources, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-forged.test.ts');

export {};
