// Foreign tables, made at random and laid out by hand: no codec under test.
import fc from 'fast-check';
import type { Blob } from '../../../src/dialects/xtables/blob.ts';

/** A foreign rule: some matches and a target. */
export interface ForeignRule {
  readonly matches: readonly { readonly name: string; readonly data: Uint8Array }[];
  readonly flags: number;
  readonly counters: readonly [bigint, bigint];
  readonly target:
    | { readonly kind: 'verdict'; readonly verdict: number }
    | { readonly kind: 'chain'; readonly chain: number }
    | { readonly kind: 'through' }
    | { readonly kind: 'extension'; readonly name: string; readonly data: Uint8Array };
}

export interface ForeignTable {
  readonly family: 4 | 6;
  /** By hook: its rules and its policy. */
  readonly hooks: readonly {
    readonly hook: number;
    readonly rules: readonly ForeignRule[];
    readonly policy: number;
  }[];
  readonly chains: readonly { readonly name: string; readonly rules: readonly ForeignRule[] }[];
}

const sizes = {
  4: { head: 112, target: 88, next: 90, flags: 82, counters: 96 },
  6: { head: 168, target: 140, next: 142, flags: 131, counters: 152 },
} as const;
const DROP = -1;
const ACCEPT = -2;
const RETURN = -5;

export function anyForeignTable(): fc.Arbitrary<ForeignTable> {
  const hooks = fc.constantFrom([0, 3], [0, 1, 2, 3, 4], [1, 2, 3], [0]);
  const names = fc.uniqueArray(
    fc.constantFrom('A', 'KUBE-SERVICES', 'f2b-sshd', 'vipward-of-another', 'zz', 'cali-PREROUTING', 'vip'),
    { maxLength: 5 },
  );
  return fc
    .tuple(fc.constantFrom(4 as const, 6 as const), hooks, names)
    .chain(([family, numbers, sorted]) => {
      const rules = fc.array(anyRule(sorted.length), { maxLength: 4 });
      const policy = fc.constantFrom(ACCEPT, DROP);
      return fc.record({
        family: fc.constant(family),
        hooks: fc.tuple(...numbers.map((hook) => fc.record({ hook: fc.constant(hook), rules, policy }))),
        chains: fc.tuple(...sorted.toSorted().map((name) => fc.record({ name: fc.constant(name), rules }))),
      });
    });
}

function anyRule(chains: number): fc.Arbitrary<ForeignRule> {
  const data = fc.uint8Array({ minLength: 1, maxLength: 40 });
  const name = fc.constantFrom('comment', 'tcp', 'set', 'mark');
  const verdict = fc.record({
    kind: fc.constant('verdict' as const),
    verdict: fc.constantFrom(DROP, ACCEPT, RETURN),
  });
  const through = fc.constant({ kind: 'through' as const });
  const extension = fc.record({
    kind: fc.constant('extension' as const),
    name: fc.constantFrom('REJECT', 'LOG', 'CT'),
    data,
  });
  const chain = fc.record({ kind: fc.constant('chain' as const), chain: fc.nat(Math.max(chains - 1, 0)) });
  return fc.record({
    matches: fc.array(fc.record({ name, data }), { maxLength: 2 }),
    flags: fc.constantFrom(0, 1, 2, 4),
    counters: fc.tuple(fc.bigInt(0n, 2n ** 40n), fc.bigInt(0n, 2n ** 40n)),
    target:
      chains === 0 ? fc.oneof(verdict, through, extension) : fc.oneof(verdict, through, extension, chain),
  });
}

/** The table as the kernel returns it. */
export function blobOfForeign(table: ForeignTable): Blob {
  const parts: { bytes: Uint8Array; rule: ForeignRule | null; target: number }[] = [];
  const push = (rule: ForeignRule): void => {
    const { bytes, target } = entryOf(table.family, rule);
    parts.push({ bytes, rule, target });
  };
  const verdict = (value: number): ForeignRule => {
    return { matches: [], flags: 0, counters: [0n, 0n], target: { kind: 'verdict', verdict: value } };
  };
  const hookEntry = new Array<number>(5).fill(0xffffffff);
  const underflow = new Array<number>(5).fill(0xffffffff);
  const length = (): number => parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
  for (const { hook, rules, policy } of table.hooks) {
    hookEntry[hook] = length();
    for (const rule of rules) push(rule);
    underflow[hook] = length();
    push(verdict(policy));
  }
  const starts: number[] = [];
  for (const { name, rules } of table.chains) {
    parts.push({ bytes: headOf(table.family, name), rule: null, target: 0 });
    starts.push(length());
    for (const rule of rules) push(rule);
    push(verdict(RETURN));
  }
  parts.push({ bytes: headOf(table.family, 'ERROR'), rule: null, target: 0 });
  const entries = new Uint8Array(length());
  let place = 0;
  for (const { bytes, rule, target } of parts) {
    entries.set(bytes, place);
    const view = new DataView(entries.buffer, place);
    if (rule?.target.kind === 'chain') view.setInt32(target + 32, starts[rule.target.chain] ?? 0, true);
    if (rule?.target.kind === 'through') view.setInt32(target + 32, place + bytes.length, true);
    place += bytes.length;
  }
  const validHooks = table.hooks.reduce((mask, { hook }) => mask | (1 << hook), 0);
  return { validHooks, hookEntry, underflow, entryCount: parts.length, entries };
}

function entryOf(family: 4 | 6, rule: ForeignRule): { bytes: Uint8Array; target: number } {
  const { head, target: targetPlace, next, flags, counters } = sizes[family];
  const matches = rule.matches.map(({ name, data }) => extension(name, data));
  const last =
    rule.target.kind === 'extension' ? extension(rule.target.name, rule.target.data) : standard(rule.target);
  const target = matches.reduce<number>((sum, match) => sum + match.length, head);
  const bytes = new Uint8Array(target + last.length);
  const view = new DataView(bytes.buffer);
  bytes[flags] = rule.flags;
  view.setUint16(targetPlace, target, true);
  view.setUint16(next, bytes.length, true);
  view.setBigUint64(counters, rule.counters[0], true);
  view.setBigUint64(counters + 8, rule.counters[1], true);
  let place: number = head;
  for (const match of matches) {
    bytes.set(match, place);
    place += match.length;
  }
  bytes.set(last, target);
  return { bytes, target };
}

function headOf(family: 4 | 6, name: string): Uint8Array {
  const { head, target, next } = sizes[family];
  const bytes = new Uint8Array(head + 64);
  const view = new DataView(bytes.buffer);
  view.setUint16(target, head, true);
  view.setUint16(next, bytes.length, true);
  bytes.set(extension('ERROR', new TextEncoder().encode(name), 64), head);
  return bytes;
}

function standard(target: ForeignRule['target']): Uint8Array {
  const data = new Uint8Array(4);
  if (target.kind === 'verdict') new DataView(data.buffer).setInt32(0, target.verdict, true);
  return extension('', data);
}

function extension(name: string, data: Uint8Array, size: number = 32 + ((data.length + 7) & ~7)): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint16(0, size, true);
  bytes.set(new TextEncoder().encode(name), 2);
  bytes.set(data, 32);
  return bytes;
}
