// Interfaces from rtnetlink messages that are laid out by hand after linux/if_link.h.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hasRisen,
  isDown,
  type Link,
  linkDump,
  macsOf,
  readLink,
  readLinks,
} from '../../../src/dialects/addresses/links.ts';
import { messagesOf } from '../../../src/netlink/reader.ts';
import { put } from '../../fake-kernel/bytes.ts';
import { hex } from '../../netlink/captured.ts';

/** RTM_NEWLINK: struct ifinfomsg with flags, IFLA_IFNAME, IFLA_ADDRESS, IFLA_LINKINFO { IFLA_INFO_KIND }. */
function link(
  index: number,
  flags: number,
  [name, kind]: readonly [string, string],
  mac: string,
): Uint8Array {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  const info = kind === '' ? [] : [put(18, [put(1, kind)])];
  return rtnetlink(16, [header, put(3, name), put(1, hex(mac)), ...info]);
}

function rtnetlink(type: number, parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const bytes = new Uint8Array(16 + body.length);
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  new DataView(bytes.buffer).setUint16(4, type, true);
  bytes.set(body, 16);
  return bytes;
}

test('an interface is read with its name, hardware address, kind and state', () => {
  const reply = Buffer.concat([
    link(1, 0x10049, ['lo', ''], '000000000000'),
    link(2, 0x11043, ['eth0', ''], '02005e100001'),
    link(3, 0x1003, ['veth7', 'veth'], '02005e100002'),
    link(4, 0x1002, ['dummy0', 'dummy'], '02005e100003'),
  ]);
  assert.deepEqual(
    readLinks(reply).map(({ mac, isRouter: _, ...rest }) => ({
      ...rest,
      mac: Buffer.from(mac).toString('hex'),
    })),
    [
      { index: 1, name: 'lo', up: true, carrier: true, loopback: true, kind: '', mac: '000000000000' },
      { index: 2, name: 'eth0', up: true, carrier: true, loopback: false, kind: '', mac: '02005e100001' },
      {
        index: 3,
        name: 'veth7',
        up: true,
        carrier: false,
        loopback: false,
        kind: 'veth',
        mac: '02005e100002',
      },
      {
        index: 4,
        name: 'dummy0',
        up: false,
        carrier: false,
        loopback: false,
        kind: 'dummy',
        mac: '02005e100003',
      },
    ],
  );
});

test('a deleted interface, a report on a bridge port and a truncated message give no interface', () => {
  const gone = link(2, 1, ['eth0', ''], '02005e100001');
  gone[4] = 17;
  assert.deepEqual(readLinks(gone), []);
  const port = link(2, 1, ['eth0', ''], '02005e100001');
  port[16] = 7;
  assert.deepEqual(readLinks(port), []);
  assert.deepEqual(readLinks(rtnetlink(16, [new Uint8Array(8)])), []);
});

test('an event of a deleted interface names it, and one of another type gives none', () => {
  const event = link(2, 1, ['eth0', ''], '02005e100001');
  const read = (type: number) => [...messagesOf(event.with(4, type))].map(readLink)[0]?.name;
  assert.deepEqual([16, 17, 18, 20].map(read), ['eth0', 'eth0', undefined, undefined]);
});

test('the message of a wireless driver, without a hardware address, gives no interface', () => {
  const header = new Uint8Array(16);
  new DataView(header.buffer).setInt32(4, 2, true);
  const wireless = 11;
  assert.deepEqual(readLinks(rtnetlink(16, [header, put(3, 'wlan0'), put(wireless, hex('10000000'))])), []);
});

test('an interface without a hardware address has an empty one', () => {
  const [tunnel] = readLinks(rtnetlink(16, [new Uint8Array(16), put(3, 'wg0')]));
  assert.deepEqual([tunnel?.name, tunnel?.mac], ['wg0', new Uint8Array()]);
});

test('an interface is that of a router if the node forwards IPv6 from it', () => {
  // IFLA_AF_SPEC { AF_INET { 1 }, AF_INET6 { IFLA_INET6_FLAGS, IFLA_INET6_CONF { forwarding, hop limit } } }
  const other = put(2, [put(1, hex('01000000'))]);
  const routers = ['00000000', '01000000', '02000000'].map((forwarding) => {
    const inet6 = put(10, [put(1, hex('00000080')), put(2, hex(`${forwarding} 40000000`))]);
    const [found] = readLinks(rtnetlink(16, [new Uint8Array(16), put(26, [other, inet6])]));
    return found?.isRouter;
  });
  assert.deepEqual(routers, [false, true, true]);
  assert.equal(readLinks(rtnetlink(16, [new Uint8Array(16)]))[0]?.isRouter, false);
});

/** An interface in short: u for up, c for carrier, and the last digit of its hardware address. */
function short(words: string): Link {
  const mac = hex(`02005e10000${words.at(-1)}`);
  const [up, carrier] = [words.includes('u'), words.includes('c')];
  return { index: 2, name: 'eth0', mac, up, carrier, loopback: false, kind: '', isRouter: false };
}

test('an interface is down without carrier too, and rises by carrier or by another hardware address', () => {
  assert.deepEqual(
    ['1', 'u1', 'c1', 'uc1'].map((words) => isDown(short(words))),
    [true, true, true, false],
  );
  const rises = (from: string, to: string) => hasRisen(short(to), short(from));
  for (const from of ['1', 'u1', 'c1', 'uc2']) assert.ok(rises(from, 'uc1'), from);
  for (const to of ['1', 'u1', 'c1', 'u2', 'c2']) assert.ok(!rises('uc1', to), to);
  assert.ok(!rises('uc1', 'uc1'));
  assert.ok(hasRisen(short('uc1'), undefined));
});

test('each hardware address of an Ethernet interface is named once', () => {
  const others = [hex('0a000001'), new Uint8Array()].map((mac) => ({ ...short('uc1'), mac }));
  const macs = ['02:00:5e:10:00:02', '02:00:5e:10:00:01'];
  assert.deepEqual(macsOf([short('uc2'), ...others, short('1'), short('uc2')]), macs);
});

test('the request for links is a dump', () => {
  const { bytes, door } = linkDump();
  assert.deepEqual(
    [door, bytes],
    ['rtnetlink', hex(`20000000 12000103 01000000 00000000 ${'00'.repeat(16)}`)],
  );
});
