// Where VIPs are, what the agent reports of them, and changes of its config file, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./life-config.test.ts');
await import('./life-held.test.ts');
await import('./life-own-address.test.ts');
await import('./life-places.test.ts');
await import('./life-refused.test.ts');

export {};
