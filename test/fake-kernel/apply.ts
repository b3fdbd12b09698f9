// What one message of a batch does to the fake kernel: nf_tables_api.c in miniature.
import {
  attributes,
  type FakeAttribute,
  type FakeMessage,
  find,
  headerBytes,
  inside,
  number,
  text,
} from './bytes.ts';
import {
  type FakeChain,
  type FakeRule,
  type FakeSet,
  type FakeState,
  type FakeTable,
  hexOf,
  Refusal,
  type Refuse,
} from './state.ts';

const NLM_F_NONREC = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_APPEND = 0x800;
const ENOENT = 2;
const EBUSY = 16;
const EEXIST = 17;
const EINVAL = 22;
const ENFILE = 23;
const EOPNOTSUPP = 95;
const TABLE_OWNER = 2;

interface Context {
  readonly state: FakeState;
  readonly request: FakeMessage;
  readonly list: readonly FakeAttribute[];
  readonly refuse: Refuse;
}

/** Applies one message to the state, or throws Refusal and leaves what was done before the fault. */
export function apply(state: FakeState, request: FakeMessage, refuse: Refuse): void {
  const list = attributes(request.bytes, headerBytes);
  const context = { state, request, list, refuse };
  const errno = refuse({
    type: request.type,
    name: text(find(list, nameAttribute(request.type))),
    key: null,
  });
  if (errno !== undefined) throw new Refusal(errno);
  const run = handlers[request.type & 0xff];
  if (request.type >> 8 !== 10 || run === undefined) throw new Refusal(EINVAL);
  run(context);
}

/** Attribute 2 names a set or the chain of a rule, 3 a chain, 1 a table. */
function nameAttribute(type: number): number {
  const number = type & 0xff;
  if (number <= 2) return 1;
  return number === 3 || number === 5 ? 3 : 2;
}

/** By the number of the message type within the subsystem. */
const handlers: Readonly<Record<number, (context: Context) => void>> = {
  0: newTable,
  2: ({ state, list, request }) => {
    const table = tableOf(state, request, list);
    state.delete(keyOf(request, table.name));
  },
  3: newChain,
  5: deleteChain,
  6: newRule,
  8: (context) => {
    const chain = chainOf(context, 2);
    chain.rules.length = 0;
  },
  9: newSet,
  11: (context) => {
    const { table, set, name } = setOf(context);
    if (isUsed(table, (rule) => rule.sets.includes(set.name))) throw new Refusal(EBUSY, name);
    table.sets.delete(set.name);
  },
  12: (context) => changeElements(context, addElement),
  14: (context) => changeElements(context, removeElement),
};

function newTable({ state, request, list }: Context): void {
  const name = find(list, 1);
  const key = keyOf(request, text(name));
  const known = state.get(key);
  const flags = number(find(list, 2));
  if (known !== undefined) {
    if ((request.flags & NLM_F_EXCL) !== 0) throw new Refusal(EEXIST, name);
    if ((flags & TABLE_OWNER) !== 0) known.owned = true;
    return;
  }
  const comment = find(list, 6)?.value.slice() ?? new Uint8Array();
  const owned = (flags & TABLE_OWNER) !== 0;
  const family = request.bytes[16] ?? 0;
  state.set(key, { family, name: text(name), flags, comment, owned, sets: new Map(), chains: new Map() });
}

function newChain({ state, request, list }: Context): void {
  const table = tableOf(state, request, list);
  const name = find(list, 3);
  const known = table.chains.get(text(name));
  const nest = find(list, 4);
  const parts = inside(request.bytes, nest);
  const policy = find(list, 5) === undefined ? 1 : number(find(list, 5));
  const hook = { number: number(find(parts, 1)), priority: number(find(parts, 2)) | 0, policy };
  const hasPolicy = find(list, 5) !== undefined;
  if (known === undefined ? hasPolicy && nest === undefined : hasPolicy && known.hook === null)
    throw new Refusal(EOPNOTSUPP, find(list, 5));
  if (known !== undefined) {
    if ((request.flags & NLM_F_EXCL) !== 0) throw new Refusal(EEXIST, name);
    if (nest !== undefined && (known.hook?.number !== hook.number || known.hook.priority !== hook.priority))
      throw new Refusal(EOPNOTSUPP);
    if (known.hook !== null && hasPolicy) table.chains.set(known.name, { ...known, hook });
    return;
  }
  table.chains.set(text(name), { name: text(name), hook: nest === undefined ? null : hook, rules: [] });
}

function deleteChain(context: Context): void {
  const chain = chainOf(context, 3);
  const table = tableOf(context.state, context.request, context.list);
  const jumpedTo = isUsed(table, (rule) => rule.chains.includes(chain.name));
  if ((context.request.flags & NLM_F_NONREC) !== 0 && (jumpedTo || chain.rules.length > 0))
    throw new Refusal(EBUSY);
  chain.rules.length = 0;
  if (jumpedTo) throw new Refusal(EBUSY, find(context.list, 3));
  table.chains.delete(chain.name);
}

/** Expressions are kept as they came: nothing of ours depends on another form than the kernel's own. */
function newRule(context: Context): void {
  const { request, list } = context;
  const chain = chainOf(context, 2);
  const table = tableOf(context.state, request, list);
  const nest = find(list, 4);
  const sets: string[] = [];
  const chains: string[] = [];
  for (const item of inside(request.bytes, nest)) {
    const parts = inside(request.bytes, item);
    const data = inside(request.bytes, find(parts, 2));
    const name = text(find(parts, 1));
    if (name === 'lookup' || name === 'dynset') {
      const set = text(find(data, 1));
      if (!table.sets.has(set)) throw new Refusal(ENOENT, item);
      sets.push(set);
    }
    if (name === 'immediate') {
      const verdict = inside(request.bytes, find(inside(request.bytes, find(data, 2)), 2));
      const target = find(verdict, 2);
      if (target === undefined) continue;
      const to = table.chains.get(text(target));
      if (to === undefined) throw new Refusal(ENOENT, item);
      if (to.hook !== null) throw new Refusal(EOPNOTSUPP, item);
      chains.push(text(target));
    }
  }
  const rule = { bytes: nest?.value.slice() ?? new Uint8Array(), sets, chains };
  if ((request.flags & NLM_F_APPEND) !== 0) chain.rules.push(rule);
  else chain.rules.unshift(rule);
}

function newSet({ state, request, list }: Context): void {
  const table = tableOf(state, request, list);
  const nameAttribute = find(list, 2);
  const name = text(nameAttribute);
  const keyLength = number(find(list, 5));
  const size = number(find(inside(request.bytes, find(list, 9)), 1));
  const known = table.sets.get(name);
  const counter = find(list, 17) !== undefined;
  const timeout = find(list, 11)?.value.slice();
  if (known !== undefined) {
    const same = known.keyLength === keyLength && known.counter === counter;
    if ((request.flags & NLM_F_EXCL) !== 0 || !same) throw new Refusal(EEXIST, nameAttribute);
    if (size > 0) known.nextSize = size;
    return;
  }
  const keyType = number(find(list, 4));
  const flags = number(find(list, 3));
  const set = { name, flags, keyType, keyLength, size, nextSize: size, counter, timeout };
  table.sets.set(name, { ...set, elements: new Map() });
}

function changeElements(
  context: Context,
  change: (set: FakeSet, key: Uint8Array, at: FakeAttribute) => void,
): void {
  const { request, list, refuse } = context;
  const { set } = setOf(context);
  for (const item of inside(request.bytes, find(list, 3))) {
    const key = find(inside(request.bytes, find(inside(request.bytes, item), 1)), 1)?.value.slice();
    if (key === undefined || key.length !== set.keyLength) throw new Refusal(EINVAL, item);
    const errno = refuse({ type: request.type, name: set.name, key });
    if (errno !== undefined) throw new Refusal(errno, item);
    change(set, key, item);
  }
}

/**
 * The one that does not fit stays in what is left of the batch, so that it is there already if it comes
 * again.
 */
function addElement(set: FakeSet, key: Uint8Array, at: FakeAttribute): void {
  const digits = hexOf(key);
  if (set.elements.has(digits)) return;
  set.elements.set(digits, key);
  if (set.size > 0 && set.elements.size > set.size) throw new Refusal(ENFILE, at);
}

function removeElement(set: FakeSet, key: Uint8Array, at: FakeAttribute): void {
  if (!set.elements.delete(hexOf(key))) throw new Refusal(ENOENT, at);
}

function tableOf(state: FakeState, request: FakeMessage, list: readonly FakeAttribute[]): FakeTable {
  const table = state.get(keyOf(request, text(find(list, 1))));
  if (table === undefined) throw new Refusal(ENOENT, find(list, 1));
  return table;
}

function chainOf({ state, request, list }: Context, attribute: number): FakeChain {
  const name = find(list, attribute);
  const chain = tableOf(state, request, list).chains.get(text(name));
  if (chain === undefined) throw new Refusal(ENOENT, name);
  return chain;
}

function setOf({ state, request, list }: Context) {
  const table = tableOf(state, request, list);
  const name = find(list, 2);
  const set = table.sets.get(text(name));
  if (set === undefined) throw new Refusal(ENOENT, name);
  return { table, set, name };
}

function isUsed(table: FakeTable, by: (rule: FakeRule) => boolean): boolean {
  return [...table.chains.values()].some((chain) => chain.rules.some(by));
}

function keyOf(request: FakeMessage, name: string): string {
  return `${request.bytes[16]} ${name}`;
}
