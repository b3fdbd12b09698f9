// A copy of a rule that looks into other sets, for the time in which a stand-in serves instead of a set.

import { attributeList, attributesOf, textOf } from '../../netlink/reader.ts';
import { EXPR_DATA, EXPR_NAME, LookupAttribute } from './constants.ts';

/** Copies a rule with the names of other sets, which must have the same length. Throws NetlinkError. */
export function lookingInto(rule: Uint8Array, nameOf: (set: string) => string): Uint8Array {
  const other = rule.slice();
  for (const [, expression] of attributeList(other)) {
    const { name = '', set } = setIn(expression);
    if (set === undefined || (name !== 'lookup' && name !== 'dynset')) continue;
    const text = nameOf(textOf(set));
    for (let index = 0; index < text.length; index++) set[index] = text.charCodeAt(index);
  }
  return other;
}

/** Both set expressions, `lookup` and `dynset`, have the set's name as attribute 1. */
function setIn(expression: Uint8Array): { name?: string; set?: Uint8Array | undefined } {
  const attributes = attributesOf(expression);
  const name = attributes.get(EXPR_NAME);
  const data = attributes.get(EXPR_DATA);
  if (name === undefined || data === undefined) return {};
  return { name: textOf(name), set: attributesOf(data).get(LookupAttribute.SET) };
}
