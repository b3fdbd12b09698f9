// The print of the contents of sets: the same for the same elements in any order, another one for any others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Command, SetAttribute } from '../../../src/dialects/xtables/constants.ts';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import { element } from '../../../src/dialects/xtables/ipset.ts';
import type { ElementObject } from '../../../src/dialects/xtables/objects.ts';
import { printFound, printWanted } from '../../../src/dialects/xtables/prints.ts';
import { readElements } from '../../../src/dialects/xtables/read-sets.ts';
import { attributesOf, messagesOf, NetlinkError } from '../../../src/netlink/reader.ts';
import { NLA_F_NESTED, Writer } from '../../../src/netlink/writer.ts';
import { addressBytes, parseAddress } from '../../../src/state/address.ts';
import { anyVips, stateOf } from '../arbitraries.ts';

const { render } = xtables({
  counters: false,
  echo: true,
  observe: false,
  fragments: true,
  localAddresses: true,
  places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
});

function result(steps: Generator<undefined, string>): string {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function wanted(elements: readonly ElementObject[]): string {
  return result(printWanted([elements]));
}

function found(replies: readonly Uint8Array[]): string {
  return result(printFound(replies));
}

/** A LIST of one element: the same as in an ADD, but in a list. */
function listed({ set, key }: ElementObject): Uint8Array {
  const adding = new Writer();
  element(adding, Command.ADD, 1, { set, key, address: addressBytes(key.address) });
  const [message] = messagesOf(adding.bytes);
  const data = attributesOf(message?.payload ?? new Uint8Array(), 4).get(SetAttribute.DATA);
  const writer = new Writer();
  const place = writer.beginMessage(Command.LIST, 0, 1);
  writer.attributeBytes(0, new Uint8Array());
  writer.attributeText(SetAttribute.SETNAME, set);
  const list = writer.beginNest(SetAttribute.ADT | NLA_F_NESTED);
  writer.attributeBytes(SetAttribute.DATA | NLA_F_NESTED, data ?? new Uint8Array());
  writer.endNest(list);
  writer.endMessage(place);
  return writer.bytes.slice();
}

/** The print, or the message of a NetlinkError; no other error may be thrown. */
function printOrError(reply: Uint8Array): string {
  try {
    return found([reply]);
  } catch (error) {
    assert.ok(error instanceof NetlinkError, String(error));
    return error.message;
  }
}

const anyElements = anyVips().map((vips) => render(stateOf(vips)).elements as readonly ElementObject[]);

test('the same elements have the same print in any order', () => {
  fc.assert(
    fc.property(anyElements, (elements) => {
      assert.deepEqual(
        elements.map(listed).flatMap((reply) => [...readElements(reply, new Map())].map(({ key }) => key)),
        elements.map(({ key }) => key),
      );
      assert.equal(found(elements.map(listed)), wanted(elements));
      assert.equal(found(elements.toReversed().map(listed)), wanted(elements));
    }),
  );
});

test('an extra, missing or changed element makes another print', () => {
  const elements = anyElements.filter(({ length }) => length > 1);
  const other = parseAddress('10.50.1.1');
  const changes: ((one: ElementObject) => ElementObject)[] = [
    (one) => ({ ...one, set: one.set === 'vipward-vip4' ? 'vipward-drop4' : 'vipward-vip4' }),
    (one) => ({ ...one, key: { ...one.key, address: other } }),
    (one) => ({ ...one, key: { ...one.key, protocol: one.key.protocol + 1 } }),
    (one) => ({ ...one, key: { ...one.key, protocol: 6, port: one.key.port ^ 1 } }),
    (one) => ({ ...one, key: { ...one.key, protocol: 6, port: one.key.port ^ 0x100 } }),
    (one) => ({ ...one, key: { ...one.key, source: other, sourceLength: 31 } }),
    (one) => ({
      ...one,
      key: { ...one.key, source: one.key.source ?? other, sourceLength: one.key.sourceLength + 1 },
    }),
  ];
  fc.assert(
    fc.property(elements, fc.nat(), fc.constantFrom(...changes), (all, at, change) => {
      const index = at % all.length;
      const rest = all.toSpliced(index, 1);
      const print = wanted(all);
      const one = all[index] as ElementObject;
      assert.notEqual(found(rest.map(listed)), print);
      assert.notEqual(found([...all, one].map(listed)), print);
      assert.notEqual(found([...rest, rest[0] as ElementObject].map(listed)), print);
      assert.notEqual(wanted([...rest, change(one)]), print);
    }),
  );
});

test('a truncated reply gives another print or a NetlinkError', () => {
  fc.assert(
    fc.property(anyElements, fc.nat(), fc.nat(255), (elements, at, byte) => {
      const reply = Buffer.concat(elements.map(listed));
      if (reply.length === 0) return;
      const print = wanted(elements);
      assert.notEqual(printOrError(reply.subarray(0, at % reply.length)), print);
      assert.ok(printOrError(reply.fill(byte, at % reply.length)).length > 0);
    }),
  );
});
