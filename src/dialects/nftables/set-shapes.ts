// The sets of the table. All have a declared size, and none is an interval set or a map (docs/ruleset.md).

import type { Needs } from '../../state/desired-state.ts';
import { sentShape } from './answers.ts';
import { KeyType } from './constants.ts';
import { families } from './families.ts';
import type { SetShape } from './objects.ts';
import { seenShape } from './observe.ts';

/** Every set that these needs require. */
export function setShapes(
  needs: Needs,
  options: { readonly counters: boolean; readonly observe: boolean },
): SetShape[] {
  const { capacities } = needs;
  return families.flatMap((shape) => {
    const { family, addressBytes } = shape;
    const of4 = family === 4;
    const vips = of4 ? capacities.vips4 : capacities.vips6;
    const ports = of4 ? capacities.ports4 : capacities.ports6;
    const sources = of4 ? capacities.sources4 : capacities.sources6;
    const key = (keyType: number, keyLengthBytes: number) => ({ keyType, keyLengthBytes, timeoutMs: 0 });
    const address = key(of4 ? KeyType.address4 : KeyType.address6, addressBytes);
    const port = key(of4 ? KeyType.port4 : KeyType.port6, addressBytes + 8);
    const source = key(of4 ? KeyType.source4 : KeyType.source6, addressBytes * 2 + 8);
    const icmp = key(of4 ? KeyType.icmp4 : KeyType.icmp6, 1);
    const lengths = of4 ? needs.sourceLengths4 : needs.sourceLengths6;
    const shapes: SetShape[] = [
      { name: `vip${family}`, ...address, size: vips, counter: false },
      { name: `drop${family}`, ...address, size: vips, counter: true },
      { name: `allow${family}`, ...port, size: ports, counter: options.counters },
      { name: `host${family}`, ...port, size: ports, counter: false },
      { name: `icmp${family}`, ...icmp, size: 16, counter: false },
    ];
    for (const length of lengths) {
      shapes.push({ name: `src${family}_${length}`, ...source, size: sources, counter: options.counters });
    }
    if (needs.egress) {
      shapes.push({ name: `egress${family}`, ...address, size: vips, counter: false }, sentShape(shape));
    }
    if (options.observe) shapes.push(seenShape(shape));
    return shapes;
  });
}
