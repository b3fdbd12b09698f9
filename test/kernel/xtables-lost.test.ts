// A filter that is gone and cannot be restored, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./life-lost.test.ts');

export {};
