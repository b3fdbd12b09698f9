// `--filter observe` with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./observe.test.ts');

export {};
