// Checks whether this process has the rights of an agent: by the kernel's answers, not by the capabilities of
// the process.

import { AddressAttribute, Message as RtMessage } from '../../dialects/addresses/constants.ts';
import type { DumpRequest } from '../../dialects/dialect.ts';
import { Message } from '../../dialects/nftables/constants.ts';
import { describeErrno, firstErrno } from '../../netlink/ack.ts';
import { AF_INET, Errno, NLM_F_ACK } from '../../netlink/message.ts';
import { nfgenmsg, request } from '../../netlink/request.ts';
import { type Machine, type OrErrno, textAt } from './machine.ts';
import { type Check, fail, ok } from './report.ts';

const CAP_NET_ADMIN = 12n;
const grant =
  'run in the host network as root, or give the container NET_ADMIN and NET_RAW (capabilities.add)';

export async function rightChecks(machine: Machine): Promise<Check[]> {
  return [await adminCheck(machine), rawCheck(machine)];
}

/** The first errno in the kernel's reply, or the errno of the request itself. */
export function errnoIn(answer: OrErrno<Uint8Array>): number {
  return typeof answer === 'number' ? answer : firstErrno(answer);
}

async function adminCheck(machine: Machine): Promise<Check> {
  const asked = [
    ['RTM_DELADDR on an interface that is not there', errnoIn(await machine.ask(addressNowhere()))],
    ['NFT_MSG_GETGEN', errnoIn(await machine.ask(generationQuestion()))],
  ] as const;
  const how = asked.map(([what]) => what).join(', ');
  const part = { name: 'CAP_NET_ADMIN', how, option: null };
  const refused = asked.find(([, errno]) => errno === Errno.EPERM);
  if (refused === undefined) return ok({ ...part, found: 'the kernel takes changes from this process' });
  const held = (effective(machine) & (1n << CAP_NET_ADMIN)) !== 0n;
  const why = held
    ? '; the effective set has it, but this network namespace belongs to another user namespace'
    : '';
  return fail({ ...part, found: `${refused[0]}: ${describeErrno(Errno.EPERM)}${why}`, next: grant });
}

function rawCheck(machine: Machine): Check {
  const part = { name: 'CAP_NET_RAW', how: 'socket(AF_INET, SOCK_RAW)', option: null };
  const errno = machine.rawSocket(4);
  if (errno === 0) return ok({ ...part, found: 'raw sockets can be opened' });
  return fail({ ...part, found: describeErrno(errno), next: grant });
}

/** CapEff of proc_pid_status(5). */
function effective(machine: Machine): bigint {
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(textAt(machine, '/proc/self/status') ?? '')?.[1];
  return BigInt(`0x${digits ?? '0'}`);
}

/** With the right to change addresses the kernel answers ENODEV. */
function addressNowhere(): DumpRequest {
  const nowhere = [0xfe, 0xff, 0xff, 0x7f];
  const bytes = request(RtMessage.DELADDR, NLM_F_ACK, (writer) => {
    writer.raw(Uint8Array.of(AF_INET, 32, 0, 0, ...nowhere));
    writer.attributeBytes(AddressAttribute.LOCAL, Uint8Array.of(192, 0, 2, 1));
  });
  return { door: 'rtnetlink', bytes };
}

function generationQuestion(): DumpRequest {
  return { door: 'nfnetlink', bytes: request(Message.GETGEN, 0, (writer) => nfgenmsg(writer, 0)) };
}
