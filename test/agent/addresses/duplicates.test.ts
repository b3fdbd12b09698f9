// Addresses for which duplicate address detection finds another host on the link.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Network } from '../../../src/agent/addresses/network.ts';
import { readAddress } from '../../../src/dialects/addresses/decode.ts';
import { addresses } from '../../../src/dialects/addresses/dialect.ts';
import { type Message, messagesOf } from '../../../src/netlink/reader.ts';
import { hasTool, ownKernel } from '../../kernel/own-kernel.ts';
import { cannotUnshare, runIn } from '../../namespaces.ts';
import { untilTrue } from '../../patience.ts';

const lines = [
  'link add eth0 type veth peer name peer0',
  'link set eth0 up',
  'link set peer0 up',
  'address add fd77::100/128 dev peer0 nodad',
  'address add fd77::100/128 dev eth0',
];

test('a foreign address is news when it comes and when the kernel finds it on another host', {
  skip: cannotUnshare() || hasTool('ip', '-V'),
}, async () => {
  using own = ownKernel();
  const network = new Network(own.kernel, ['auto']);
  const { status, stderr } = runIn(own.namespace, ['ip', '-batch', '-'], lines.join('\n'));
  equal(status, 0, stderr);
  const index = Number(/^(\d+): eth0/m.exec(runIn(own.namespace, ['ip', 'link']).stdout)?.[1]);
  const event = async (): Promise<Message> => {
    const [reply = new Uint8Array()] = await own.kernel.dump(addresses.dumps);
    const isIt = (message: Message) => readAddress(message)?.id === `fd77::100/128 on ${index}`;
    const found = [...messagesOf(reply)].find(isIt);
    ok(found !== undefined);
    return found;
  };
  const first = await event();
  await untilTrue(async () => readAddress(await event())?.isDuplicate === true);
  const second = await event();
  const kinds = [first, first, second, second].map((message) => network.onMessage(message).kind);
  deepEqual(kinds, ['new', 'other', 'new', 'other']);
});
