// Creates the network of the demo over our own netlink: veths, addresses and routes. Only for namespaces that
// the demo has created; inside.ts ensures that.

import {
  AddressAttribute,
  IFA_F_NODAD,
  IFF_UP,
  LinkAttribute,
  LinkInfoAttribute,
  Message,
  RouteAttribute,
} from '../../dialects/addresses/constants.ts';
import { linkDump, readLinks } from '../../dialects/addresses/links.ts';
import type { Kernel } from '../../host/kernel.ts';
import { describeErrno, type Step } from '../../netlink/ack.ts';
import { AF_INET, AF_INET6, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL } from '../../netlink/message.ts';
import { request } from '../../netlink/request.ts';
import { NLA_F_NESTED, type Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes, familyOf } from '../../state/address.ts';

export interface Interface {
  readonly name: string;
  readonly addresses: readonly { readonly address: Address; readonly length: number }[];
  /** The default route of this namespace is on-link on this interface. */
  readonly isDefault: boolean;
}

/** Kernel constants of linux/if_link.h, linux/veth.h and linux/rtnetlink.h that only the demo needs. */
const IFLA_NET_NS_PID = 19;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const loopbackIndex = 1;
const creating = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

/** Creates a pair of interfaces: one here, the other, named eth0, in the namespace of a process. */
export async function makeVeth(kernel: Kernel, name: string, peerPid: number): Promise<void> {
  const pair = request(Message.NEWLINK, creating, (writer) => {
    linkHeader(writer, 0, 0);
    writer.attributeText(LinkAttribute.IFNAME, name);
    nest(writer, LinkAttribute.LINKINFO, () => {
      writer.attributeText(LinkInfoAttribute.KIND, 'veth');
      nest(writer, IFLA_INFO_DATA, () =>
        nest(writer, VETH_INFO_PEER, () => {
          linkHeader(writer, 0, 0);
          writer.attributeText(LinkAttribute.IFNAME, 'eth0');
          writer.attributeU32(IFLA_NET_NS_PID, peerPid);
        }),
      );
    });
  });
  await send(kernel, `veth ${name}`, pair);
}

/** Sets an interface up and gives it its addresses and, if requested, the default route. */
export async function configure(kernel: Kernel, { name, addresses, isDefault }: Interface): Promise<void> {
  const links = readLinks(await kernel.ask(linkDump()));
  const index = links.find((link) => link.name === name)?.index;
  if (index === undefined) throw new Error(`demo network: there is no interface ${name} in this namespace`);
  await setUp(kernel, index);
  for (const { address, length } of addresses) {
    await send(kernel, `address ${address}`, newAddress(index, { address, length }));
  }
  if (!isDefault) return;
  const families = new Set(addresses.map(({ address }) => familyOf(address)));
  for (const family of families) {
    await send(kernel, `default route of IPv${family}`, newRoute(index, family));
  }
}

export async function setLoopbackUp(kernel: Kernel): Promise<void> {
  await setUp(kernel, loopbackIndex);
}

async function setUp(kernel: Kernel, index: number): Promise<void> {
  const up = request(Message.NEWLINK, NLM_F_ACK, (writer) => linkHeader(writer, index, IFF_UP));
  await send(kernel, `interface ${index} up`, up);
}

function newAddress(
  index: number,
  { address, length }: { readonly address: Address; readonly length: number },
): Uint8Array {
  return request(Message.NEWADDR, creating, (writer) => {
    // struct ifaddrmsg
    writer.raw(Uint8Array.of(familyOf(address) === 4 ? AF_INET : AF_INET6, length, 0, 0));
    writer.u32(index);
    writer.attributeBytes(AddressAttribute.LOCAL, addressBytes(address));
    writer.attributeBytes(AddressAttribute.ADDRESS, addressBytes(address));
    // No other host is on this link, so IPv6 needs no duplicate address detection, which takes a second.
    writer.attributeU32(AddressAttribute.FLAGS, IFA_F_NODAD);
  });
}

function newRoute(index: number, family: 4 | 6): Uint8Array {
  return request(Message.NEWROUTE, creating, (writer) => {
    // struct rtmsg, with a destination of length 0.
    const afFamily = family === 4 ? AF_INET : AF_INET6;
    writer.raw(
      Uint8Array.of(afFamily, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST, 0, 0, 0, 0),
    );
    writer.attributeU32(RouteAttribute.OIF, index);
  });
}

/** struct ifinfomsg that sets flags and changes nothing else. */
function linkHeader(writer: Writer, index: number, flags: number): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(flags);
}

function nest(writer: Writer, type: number, body: () => void): void {
  const place = writer.beginNest(type | NLA_F_NESTED);
  body();
  writer.endNest(place);
}

/** Sends one rtnetlink message. Throws an Error with the refused object and the reason. */
async function send(kernel: Kernel, what: string, bytes: Uint8Array): Promise<void> {
  await commitStep(kernel, 'rtnetlink', {
    what,
    step: { bytes, split: bytes.length, barrier: 1, records: [] },
  });
}

/** Commits one step through a door. Throws an Error with the refused object and the reason. */
export async function commitStep(
  kernel: Kernel,
  door: 'rtnetlink' | 'nfnetlink',
  { what, step }: { readonly what: string; readonly step: Step<never> },
): Promise<void> {
  const [refused] = await kernel.commit({ door, steps: [step] });
  if (refused !== undefined) {
    throw new Error(`demo network: ${what}: ${describeErrno(refused.errno, refused.words)}`);
  }
}
