// The rules that replace the drops with `--filter observe`: a packet that would be dropped is counted by
// source and port, and by VIP, and then accepted.

import { type SetKind, setName, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import type { SetShape } from './objects.ts';
import { type Direction, Rule, type RuleSpec } from './rule.ts';

/** The most samples per family; when the set is full, other packets are counted by VIP only. */
export const samples = 1024;
/** The time from its last packet until a sample expires. */
export const sampleTimeoutSeconds = 3600;

const sampled: readonly Direction[] = ['dst', 'dst', 'src'];

/**
 * Adding an element again resets its counter, so one set counts and the other records the time of the last
 * packet. An element that the kernel adds has a full-length address, in a set of networks too.
 */
export function sampleShapes(family: 4 | 6): SetShape[] {
  const shape = { family, type: 'hash:ip,port,net', size: samples } as const;
  const timeoutSeconds = sampleTimeoutSeconds;
  return [
    { ...shape, name: setName('seen', family), counters: true, timeoutSeconds },
    { ...shape, name: setName('last', family), counters: false, timeoutSeconds },
  ];
}

/** Counts a packet that `of` matches if its sample exists, and adds the sample if not. */
export function sampleRules({ family }: FamilyShape, of: () => Rule): RuleSpec[] {
  const [seen, last] = [setName('seen', family), setName('last', family)];
  return [
    of().set(seen, sampled, { not: true }).comment('vipward: would be dropped, sampled').adds(seen, sampled),
    of().comment('vipward: when the last one came').adds(last, sampled),
  ];
}

/** Samples packets that prerouting accepted and only this hook would drop; prerouting has counted its own. */
export function observedAtInput(shape: FamilyShape): RuleSpec[] {
  return declared(shape).flatMap((rule) => [
    ...sampleRules(shape, rule),
    counted(shape, rule()).comment('vipward: would be dropped, counted by VIP').verdict(Verdict.RETURN),
  ]);
}

/** Drops the same packets. */
export function declaredAtInput(shape: FamilyShape): RuleSpec[] {
  return declared(shape).map((rule) =>
    counted(shape, rule()).comment('vipward: dropped, counted by VIP').verdict(Verdict.DROP),
  );
}

function declared(shape: FamilyShape): (() => Rule)[] {
  const passed: readonly [SetKind, readonly Direction[]][] = [
    ['allow', ['dst', 'dst']],
    ['src', ['dst', 'dst', 'src']],
  ];
  return passed.map(
    ([kind, directions]) =>
      () =>
        new Rule(shape).set(setName(kind, shape.family), directions, { count: false }),
  );
}

function counted({ family }: FamilyShape, rule: Rule): Rule {
  return rule.set(setName('drop', family), ['dst']);
}
