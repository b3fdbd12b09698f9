// Rules against the bytes that nft sends for the same words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rule } from '../../../src/dialects/nftables/expressions.ts';
import { hex, nftRuleExpressions } from '../../netlink/captured.ts';

test('the rule of a port has the bytes that nft sends, in the form in which the kernel dumps them', () => {
  const rule = new Rule()
    .metaNfproto(0)
    .compareEqual(0, Uint8Array.of(2))
    .payload(1, 16, 4, 0)
    .metaL4proto(1)
    .payload(2, 2, 2, 2)
    .lookup('allow4', 0)
    .verdict(1).bytes;
  assert.deepEqual(rule, canonical(nftRuleExpressions));
});

test('registers 0, 4, 8 and 12 are the four that are 16 bytes wide', () => {
  const register = (index: number) => new Rule().metaIif(index).bytes.at(-1);
  assert.deepEqual([0, 4, 8, 12].map(register), [1, 2, 3, 4]);
  assert.deepEqual([1, 2, 3, 5, 15].map(register), [9, 10, 11, 13, 23]);
});

test('a goto carries the name of its chain', () => {
  const expected = hex(`
    38000100 0e000100 696d6d65 64696174 65000000 24000200 08000100 00000000
    18000200 14000200 08000100 fffffffc 06000200 67000000`);
  assert.deepEqual(new Rule().verdict(-4, 'g').bytes, expected);
});

/**
 * The kernel keeps no nested flag, and writes a lookup with set, register and flags, where nft writes the
 * register first, an id and no flags.
 */
function canonical(bytes: Uint8Array): Uint8Array {
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const lookup = '08000200000000010b000100616c6c6f773400000800040000000001';
  return hex(
    text
      .replace(lookup, '0b000100616c6c6f7734000008000200000000010800050000000000')
      .replace(/(..00(0[1-5]))80/g, '$100'),
  );
}
