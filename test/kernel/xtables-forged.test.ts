// What a forged source does not open, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-forged.test.ts');

export {};
