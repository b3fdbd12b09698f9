// Which generations a node obeys, and by which terms its controller may place.
import { doesNotThrow, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { checkTerms, objectionTo } from '../../../src/agent/stream/generation.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { generationLeap } from '../../../src/state/term.ts';
import type { Placement } from '../../../src/state/virtual-ip.ts';

const placed = (generation: number): Placement => {
  return { address: parseAddress('10.77.0.100'), term: { generation, n: 1 } };
};

test('a node obeys no older generation than before, and none that is impossibly high', () => {
  const why = (generation: number) => objectionTo(generation, { obeyed: 7 });
  equal(why(7), undefined);
  equal(why(7 + generationLeap), undefined);
  match(why(6) ?? '', /^generation: 6 is older than 7,/);
  match(why(8 + generationLeap) ?? '', /^generation: ImpossibleTerm: 1000008, .* --state$/);
});

test('a controller places by its own generation and by earlier ones; another term is named', () => {
  doesNotThrow(() => checkTerms([placed(1), placed(7)], 7));
  const message = "set[1].term.generation: ImpossibleTerm: 8 is above the controller's own, 7";
  throws(() => checkTerms([placed(7), placed(8), placed(9)], 7), { code: 'BadFrame', message });
});
