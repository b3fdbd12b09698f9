// SCTP with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./traffic-sctp.test.ts');

export {};
