// The state of nf_tables as text, from the answers to dumps: the same words for the fake kernel and the real
// one.
import {
  attributes,
  type FakeAttribute,
  find,
  headerBytes,
  inside,
  message,
  number,
  put,
  split,
  text,
} from './bytes.ts';
import { hexOf } from './state.ts';

const NLM_F_REQUEST_DUMP = 0x301;

/** Asks for a dump and gets all of its answers. */
export type Ask = (request: Uint8Array) => Uint8Array;

/** Every inet table, its sets with their elements in order, its chains with their rules. */
export function stateText(ask: Ask): string {
  const lines: string[] = [];
  for (const { list } of dump(ask, 0xa01)) {
    const table = text(find(list, 1));
    const comment =
      text(find(list, 6)).slice(2) || new TextDecoder().decode(find(list, 6)?.value.slice(2, -1));
    lines.push(`table ${table} flags ${number(find(list, 2))}${comment === '' ? '' : ` "${comment}"`}`);
    lines.push(...setLines(ask, table), ...chainLines(ask, table));
  }
  return `${lines.join('\n')}\n`;
}

function setLines(ask: Ask, table: string): string[] {
  const sets = dump(ask, 0xa0a).filter(({ list }) => text(find(list, 1)) === table);
  const named = sets.map(({ bytes, list }) => {
    const name = text(find(list, 2));
    const size = number(find(inside(bytes, find(list, 9)), 1));
    const counter = find(list, 17) === undefined ? '' : ' counter';
    const keyType = number(find(list, 4));
    const keys = dump(ask, 0xa0d, [put(1, table), put(2, name)]).flatMap((answer) =>
      inside(answer.bytes, find(answer.list, 3)).map((item) => keyOf(answer.bytes, item)),
    );
    const elements = keys.map((key) => `    ${keyText(key, keyType)}`).sort();
    return [`  set ${name} key ${number(find(list, 5))} size ${size}${counter}`, ...elements];
  });
  return named.sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)).flat();
}

function chainLines(ask: Ask, table: string): string[] {
  const rules = dump(ask, 0xa07).filter(({ list }) => text(find(list, 1)) === table);
  const chains = dump(ask, 0xa04).filter(({ list }) => text(find(list, 1)) === table);
  const named = chains.map(({ bytes, list }) => {
    const name = text(find(list, 3));
    const nest = find(list, 4);
    const parts = inside(bytes, nest);
    const [at, priority] = [number(find(parts, 1)), number(find(parts, 2)) | 0];
    const policy = number(find(list, 5));
    const hook = nest === undefined ? '' : ` hook ${at} priority ${priority} policy ${policy}`;
    const own = rules.filter((rule) => text(find(rule.list, 2)) === name);
    return [
      `  chain ${name}${hook}`,
      ...own.map((rule) => `    ${ruleText(rule.bytes, find(rule.list, 4))}`),
    ];
  });
  return named.sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)).flat();
}

interface Answer {
  readonly bytes: Uint8Array;
  readonly list: readonly FakeAttribute[];
}

function dump(ask: Ask, type: number, parts: readonly Uint8Array[] = []): Answer[] {
  const request = message({ type, flags: NLM_F_REQUEST_DUMP, sequence: 1 }, parts);
  return split(ask(request))
    .filter((one) => one.type >> 8 === 10)
    .map(({ bytes }) => ({ bytes, list: attributes(bytes, headerBytes) }));
}

function keyOf(bytes: Uint8Array, item: FakeAttribute): Uint8Array {
  return find(inside(bytes, find(inside(bytes, item), 1)), 1)?.value ?? new Uint8Array();
}

/** A key field by field, as its type of six bits a field tells: an address, a protocol, a port, a number. */
function keyText(key: Uint8Array, keyType: number): string {
  const types: number[] = [];
  for (let rest = keyType; rest > 0; rest = Math.floor(rest / 64)) types.unshift(rest % 64);
  let place = 0;
  const fields = types.map((type) => {
    const length = fieldBytes[type] ?? 4;
    const field = key.subarray(place, place + length);
    place += types.length === 1 ? length : (length + 3) & ~3;
    if (type === 7) return field.join('.');
    return type === 8
      ? (hexOf(field).match(/.{4}/g) ?? []).join(':')
      : String(Number.parseInt(hexOf(field), 16));
  });
  return place === key.length ? fields.join(' . ') : hexOf(key);
}

const fieldBytes: Readonly<Record<number, number>> = { 7: 4, 8: 16, 12: 1, 13: 2, 14: 1, 29: 1 };
const verdicts: Readonly<Record<number, string>> = { 0: 'drop', 1: 'accept', [-3]: 'jump', [-4]: 'goto' };

/** The names of the expressions, with what a rule looks into and how it ends. */
function ruleText(bytes: Uint8Array, list: FakeAttribute | undefined): string {
  const words = inside(bytes, list).map((item) => {
    const parts = inside(bytes, item);
    const data = inside(bytes, find(parts, 2));
    const name = text(find(parts, 1));
    if (name === 'lookup') return `@${text(find(data, 1))}`;
    if (name !== 'immediate') return name;
    const verdict = inside(bytes, find(inside(bytes, find(data, 2)), 2));
    const target = text(find(verdict, 2));
    return `${verdicts[number(find(verdict, 1)) | 0] ?? 'verdict'}${target === '' ? '' : ` ${target}`}`;
  });
  return words.join(' ');
}
