// Invalid messages, controllers with incomplete input, and fragmented datagrams, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./life-frames.test.ts');
await import('./life-truth.test.ts');
await import('./traffic-fragments.test.ts');

export {};
