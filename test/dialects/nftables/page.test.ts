// docs/ruleset.md against the table that nft prints: the page has the rules in the kernel's order.
import { deepEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** The kinds of a rule, or of a row about rules, in words that both have. */
function kindsOf(text: string): string[] {
  if (/frag/.test(text)) return ['fragment'];
  const rules = text.includes('`') ? [...text.matchAll(/`([^`]+)`/g)].map(([, rule = '']) => rule) : [text];
  return rules.map(
    (rule) => /@([a-z]+)/.exec(rule)?.[1] ?? rule.replace(/^(ct \w+) .*/, '$1').replace('drop', 'last'),
  );
}

for (const name of ['guard', 'input'])
  test(`docs/ruleset.md lists the rules of ${name}N in the order of the kernel`, () => {
    const page = read('docs/ruleset.md');
    const start = page.search(new RegExp(`^### .*\`${name}N\``, 'm'));
    const rows = page.slice(start, page.indexOf('\n##', start)).matchAll(/^\| (.*?\w`?) +\| /gm);
    const told = [...rows].flatMap(([, cell = '']) => (cell === 'rule' ? [] : kindsOf(cell)));
    const golden = read('test/kernel/golden/every-feature.nft');
    const [, rules = ''] = new RegExp(`chain ${name}6 \\{\n(.*?)\n\t\\}`, 's').exec(golden) ?? [];
    deepEqual(told, [...new Set(rules.split('\n').flatMap((rule) => kindsOf(rule.trim())))]);
  });
