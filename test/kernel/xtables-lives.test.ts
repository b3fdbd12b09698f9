// A life of an agent, and what it explains, with xtables: changes, kills, repairs, and others on the node.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./explain.test.ts');
await import('./life-delta.test.ts');
await import('./life-foreign.test.ts');
await import('./life-kill.test.ts');
await import('./life-repair.test.ts');
await import('./life-whole.test.ts');

export {};
