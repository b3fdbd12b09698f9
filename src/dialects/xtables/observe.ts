// What `--filter observe` puts in the place of the drops: a packet that would be dropped is counted by its
// source and port, and by its VIP, and goes on.

import { type SetKind, setName, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import type { SetShape } from './objects.ts';
import { type Direction, Rule, type RuleSpec } from './rule.ts';

/** Samples of a family; once there are so many, others are counted by VIP alone. */
export const samples = 1024;
/** How long a sample is kept behind its last packet. */
export const sampleTimeoutSeconds = 3600;

const sampled: readonly Direction[] = ['dst', 'dst', 'src'];

/**
 * To add a packet again would begin its counter anew, so that one set counts and the other knows when the
 * last one came. An element of the kernel's own making is of a whole address, in a set of networks too.
 */
export function sampleShapes(family: 4 | 6): SetShape[] {
  const shape = { family, type: 'hash:ip,port,net', size: samples } as const;
  const timeoutSeconds = sampleTimeoutSeconds;
  return [
    { ...shape, name: setName('seen', family), counters: true, timeoutSeconds },
    { ...shape, name: setName('last', family), counters: false, timeoutSeconds },
  ];
}

/** What meets `of` is counted where it is known, and made known where it is not. */
export function sampleRules({ family }: FamilyShape, of: () => Rule): RuleSpec[] {
  const [seen, last] = [setName('seen', family), setName('last', family)];
  return [
    of().set(seen, sampled, { not: true }).comment('vipward: would be dropped, sampled').adds(seen, sampled),
    of().comment('vipward: when the last one came').adds(last, sampled),
  ];
}

/**
 * What prerouting let through and only this hook would drop: what it would have dropped is counted already.
 */
export function observedAtInput(shape: FamilyShape): RuleSpec[] {
  return declared(shape).flatMap((rule) => [
    ...sampleRules(shape, rule),
    counted(shape, rule()).comment('vipward: would be dropped, counted by VIP').verdict(Verdict.RETURN),
  ]);
}

/** The same, dropped. */
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
