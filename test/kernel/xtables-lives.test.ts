// Explanations, changes, kills, repairs, and foreign objects on the node, with xtables.
process.env['VIPWARD_FIREWALL'] = 'xtables';
await import('./explain.test.ts');
await import('./life-delta.test.ts');
await import('./life-foreign.test.ts');
await import('./life-kill.test.ts');
await import('./life-links.test.ts');
await import('./life-repair.test.ts');
await import('./life-whole.test.ts');

export {};
