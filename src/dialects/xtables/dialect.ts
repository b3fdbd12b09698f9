// xtables as a dialect: constant rules in legacy tables; all that varies is in hash sets of ipset.

import type { Dialect } from '../dialect.ts';
import { decode } from './decode.ts';
import { dumpRequests } from './dumps.ts';
import { encoder } from './encode.ts';
import type { XtObject } from './objects.ts';
import { renderer } from './render.ts';
import type { XtOptions } from './ruleset.ts';

export function xtables(options: XtOptions): Dialect<XtObject> {
  const encode = encoder();
  return { name: 'xtables', render: renderer(options), dumps: dumpRequests(), decode, encode };
}
