// What a controller may say and may not, datagrams in pieces, and who holds an address, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./life-frames.test.ts');
await import('./life-truth.test.ts');
await import('./traffic-fragments.test.ts');

export {};
