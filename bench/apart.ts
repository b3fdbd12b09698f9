// One part of a benchmark at one size, in a process and namespaces of its own. Its arguments are PART SIZE
// EFFORT OUTPUT, where EFFORT is JSON; its figures are written to OUTPUT as JSON.

import { writeFileSync } from 'node:fs';
import { setLinkUp } from '../test/namespaces.ts';
import { measureLegacy } from './legacy.ts';
import type { Effort } from './pair.ts';
import { measurePeers } from './peers.ts';
import { measureStraight } from './straight.ts';
import { measureStream } from './stream.ts';

const measures = {
  straight: (size: number, effort: Effort) => measureStraight(size, effort),
  legacy: measureLegacy,
  stream: measureStream,
  peers: measurePeers,
};

const [part = '', size, effort = '', output = ''] = process.argv.slice(2);
const measure = measures[part as keyof typeof measures];
setLinkUp(1);
writeFileSync(output, JSON.stringify(await measure(Number(size), JSON.parse(effort) as Effort)));
