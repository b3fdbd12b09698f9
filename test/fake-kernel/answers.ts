// What the fake kernel says when it is asked: dumps of tables, sets, chains, rules and elements, single
// elements.
import {
  answer,
  attributes,
  concat,
  type FakeMessage,
  find,
  headerBytes,
  inside,
  message,
  put,
  text,
} from './bytes.ts';
import { type FakeState, type FakeTable, hexOf } from './state.ts';

const NLM_F_MULTI = 2;
const NLM_F_DUMP = 0x300;
const ENOENT = 2;
const EOPNOTSUPP = 95;
/** The largest list of elements that the kernel puts in one message of a dump is bounded too. */
const elementsAMessage = 80;

/** The port id that the fake gives to whoever writes through it. */
export const fakePortId = 4711;

export function ask(state: FakeState, request: FakeMessage, generation: number): Uint8Array {
  const resource = generation & 0xffff;
  if (request.type === 0xa10) {
    const parts = [put(1, generation), put(2, fakePortId), put(3, 'fake')];
    return message({ type: 0xa0f, sequence: request.sequence, family: 0, resource }, parts);
  }
  const say = (type: number, parts: readonly Uint8Array[]): Uint8Array =>
    message({ type, flags: NLM_F_MULTI, sequence: request.sequence, resource }, parts);
  const list = attributes(request.bytes, headerBytes);
  if ((request.flags & NLM_F_DUMP) !== NLM_F_DUMP) return single(state, request, say);
  const answers = dump(state, request, text(find(list, 2)), say);
  if (answers === undefined) return answer(request, ENOENT);
  const done = message({ type: 3, flags: NLM_F_MULTI, sequence: request.sequence, family: 0 });
  return concat([...answers, done]);
}

type Say = (type: number, parts: readonly Uint8Array[]) => Uint8Array;

function dump(state: FakeState, request: FakeMessage, set: string, say: Say): Uint8Array[] | undefined {
  const tables = [...state.values()].filter((table) => table.family === request.bytes[16]);
  switch (request.type) {
    case 0xa01:
      return tables.map((table) => say(0xa00, tableParts(table)));
    case 0xa0a:
      return tables.flatMap((table) =>
        [...table.sets.keys()].map((name) => say(0xa09, setParts(table, name))),
      );
    case 0xa04:
      return tables.flatMap((table) =>
        [...table.chains.keys()].map((name) => say(0xa03, chainParts(table, name))),
      );
    case 0xa07:
      return tables.flatMap((table) =>
        [...table.chains.values()].flatMap((chain) =>
          chain.rules.map((rule) => say(0xa06, [put(1, table.name), put(2, chain.name), put(4, rule.bytes)])),
        ),
      );
    case 0xa0d:
      return elementDump(state, request, set, say);
    default:
      return undefined;
  }
}

function elementDump(
  state: FakeState,
  request: FakeMessage,
  name: string,
  say: Say,
): Uint8Array[] | undefined {
  const table = text(find(attributes(request.bytes, headerBytes), 1));
  const set = state.get(`${request.bytes[16]} ${table}`)?.sets.get(name);
  if (set === undefined) return undefined;
  const keys = [...set.elements.values()];
  const messages: Uint8Array[] = [];
  for (let start = 0; start === 0 || start < keys.length; start += elementsAMessage) {
    const items = keys.slice(start, start + elementsAMessage).map((key) => elementParts(key, set.counter));
    messages.push(say(0xa0c, [put(1, table), put(2, name), put(3, items)]));
  }
  return messages;
}

/** GETSETELEM for a key. */
function single(state: FakeState, request: FakeMessage, say: Say): Uint8Array {
  const list = attributes(request.bytes, headerBytes);
  const table = text(find(list, 1));
  const set = state.get(`${request.bytes[16]} ${table}`)?.sets.get(text(find(list, 2)));
  if (request.type !== 0xa0d) return answer(request, EOPNOTSUPP);
  const [item] = inside(request.bytes, find(list, 3));
  const key = find(inside(request.bytes, find(inside(request.bytes, item), 1)), 1)?.value;
  if (set === undefined || key === undefined || !set.elements.has(hexOf(key)))
    return answer(request, ENOENT, item?.place);
  return say(0xa0c, [put(1, table), put(2, set.name), put(3, elementParts(key, set.counter))]);
}

function elementParts(key: Uint8Array, counter: boolean): Uint8Array {
  return put(1, [put(1, [put(1, key)]), ...(counter ? [counterParts(7)] : [])]);
}

function counterParts(type: number): Uint8Array {
  return put(type, [put(1, 'counter'), put(2, [put(1, new Uint8Array(8)), put(2, new Uint8Array(8))])]);
}

function tableParts(table: FakeTable): Uint8Array[] {
  const owner = table.owned ? [put(7, fakePortId)] : [];
  return [put(1, table.name), put(2, table.flags), put(6, table.comment), ...owner];
}

function setParts(table: FakeTable, name: string): Uint8Array[] {
  const set = table.sets.get(name);
  if (set === undefined) return [];
  const key = [put(4, set.keyType), put(5, set.keyLength)];
  const parts = [put(1, table.name), put(2, name), put(3, set.flags), ...key];
  const timeout = set.timeout === undefined ? [] : [put(11, set.timeout)];
  return [...parts, ...timeout, put(9, [put(1, set.size)]), ...(set.counter ? [counterParts(17)] : [])];
}

function chainParts(table: FakeTable, name: string): Uint8Array[] {
  const hook = table.chains.get(name)?.hook;
  const parts = [put(1, table.name), put(3, name)];
  if (!hook) return parts;
  return [
    ...parts,
    put(4, [put(1, hook.number), put(2, hook.priority)]),
    put(5, hook.policy),
    put(7, 'filter'),
  ];
}
