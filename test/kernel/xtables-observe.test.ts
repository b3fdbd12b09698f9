// What would be dropped is counted with its source and port, and nothing is dropped, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./observe.test.ts');

export {};
