// An object in the syntax of ipset and iptables, for refusals and diffs.

import { keyText, type XtObject } from './objects.ts';

export function describe(object: XtObject): string {
  switch (object.kind) {
    case 'set':
      return `ipset ${object.name} (${object.type}, maxelem ${object.size})`;
    case 'element':
      return `ipset element ${object.set} ${keyText(object.key)}`;
    case 'table': {
      const rules = object.chains.reduce((sum, { rules: list }) => sum + list.length, 0);
      return `${object.id}, chains vipward-* (${rules} rules)`;
    }
    default:
      return object satisfies never;
  }
}
