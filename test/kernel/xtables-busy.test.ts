// What an agent waits for, with xtables: a busy kernel, the reader of its log, and its disk.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./life-busy.test.ts');
await import('./life-stall.test.ts');

export {};
