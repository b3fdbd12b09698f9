// The verdict of our rules on a packet, from the elements that the kernel's sets hold now.

import { errnoOf } from '../../netlink/ack.ts';
import { NLMSG_ERROR } from '../../netlink/message.ts';
import { messagesOf } from '../../netlink/reader.ts';
import { Writer } from '../../netlink/writer.ts';
import { addressBytes, familyOf } from '../../state/address.ts';
import type { Packet, Tracer } from '../dialect.ts';
import { chainNames, type SetKind, setName } from './constants.ts';
import { element } from './ipset.ts';
import type { Key } from './objects.ts';

/** IPSET_CMD_TEST: the kernel acks an existing element and refuses any other. */
const TEST = 0x60b;
const kinds: readonly SetKind[] = ['vip', 'allow', 'host', 'egress', 'src'];

export const tracer: Tracer = {
  question(packet) {
    const writer = new Writer(512);
    const family = familyOf(packet.address);
    for (const [index, kind] of kinds.entries()) {
      const key = keyOf(packet, kind);
      if (key !== null)
        element(writer, TEST, index + 1, {
          set: setName(kind, family),
          key,
          address: addressBytes(key.address),
        });
    }
    return { door: 'nfnetlink', bytes: writer.bytes.slice() };
  },
  read(reply, packet, observe) {
    const absent = new Set<number>();
    for (const message of messagesOf(reply)) {
      if (message.type === NLMSG_ERROR && errnoOf(message) !== 0) absent.add(message.sequence - 1);
    }
    const family = familyOf(packet.address);
    const has = (kind: SetKind): boolean => keyOf(packet, kind) !== null && !absent.has(kinds.indexOf(kind));
    const host = has('host');
    if (!has('vip')) return { guarded: false, open: null, host, rule: null };
    const chain = has('egress') ? chainNames.egress : chainNames.guard;
    if (has('allow')) {
      const rule = `${chain}: match-set ${setName('allow', family)} dst,dst`;
      return { guarded: true, open: 'to all', host, rule };
    }
    if (has('src')) {
      const rule = `${chain}: match-set ${setName('src', family)} dst,dst,src`;
      return { guarded: true, open: 'to its source', host, rule };
    }
    const verdict = observe ? 'RETURN' : 'DROP';
    return {
      guarded: true,
      open: null,
      host,
      rule: `${chain}: match-set ${setName('drop', family)} dst ${verdict}`,
    };
  },
};

/** Null if the packet has no key for a set of that kind. */
function keyOf({ address, protocol, port, from }: Packet, kind: SetKind): Key | null {
  const plain = { address, protocol: 0, port: 0, source: null, sourceLength: 0 };
  if (kind === 'vip' || kind === 'egress') return plain;
  if (kind !== 'src') return { ...plain, protocol, port };
  // A full-length address is looked up in every network of the set.
  const sourceLength = familyOf(address) === 4 ? 32 : 128;
  return from === null ? null : { address, protocol, port, source: from, sourceLength };
}
