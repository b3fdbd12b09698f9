// xtables and ipset as this agent's firewall: probes the kernel and reads the counters.

import { existsSync } from 'node:fs';
import type { Answer, Choice } from '../../dialects/choose.ts';
import { counterDumps, portText, readCounters } from '../../dialects/xtables/counters.ts';
import { describe } from '../../dialects/xtables/describe.ts';
import { xtables } from '../../dialects/xtables/dialect.ts';
import { elementsDump, headers, setNames, tableDumps, tableNames } from '../../dialects/xtables/dumps.ts';
import { encoder } from '../../dialects/xtables/encode.ts';
import { type ElementObject, inSetsOf, setOf, type XtObject } from '../../dialects/xtables/objects.ts';
import { printFound, printWanted } from '../../dialects/xtables/prints.ts';
import { type Question, questions, tableQuestions } from '../../dialects/xtables/probe.ts';
import { readSets } from '../../dialects/xtables/read-sets.ts';
import { readTables } from '../../dialects/xtables/read-table.ts';
import { sampler } from '../../dialects/xtables/samples.ts';
import { tracer } from '../../dialects/xtables/trace.ts';
import type { Kernel } from '../../host/kernel.ts';
import { SystemCallError } from '../../host/socket.ts';
import { firstErrno } from '../../netlink/ack.ts';
import { Errno } from '../../netlink/message.ts';
import { type Address, familyOf } from '../../state/address.ts';
import { protocolNumbers } from '../../state/port.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';
import {
  type Firewall,
  type FirewallOptions,
  type Remains,
  type VipCounters,
  withAllOptions,
} from './firewall.ts';

/** The kernel's answer to every probe. Asking for a table creates it. Throws SystemCallError. */
export async function askXtables(kernel: Kernel): Promise<Answer[]> {
  const answers = await askAll(kernel, questions());
  // Without ip_tables (ENOPROTOOPT) there are no tables to ask for.
  if (answers.some(({ errno }) => errno === Errno.ENOPROTOOPT)) return answers;
  answers.push(...(await askAll(kernel, [...tableQuestions('raw'), ...tableQuestions('mangle')])));
  const mangle = answers.every(({ errno, subject }) => subject !== 'table mangle' || errno === 0);
  if (!mangle) answers.push(...(await askAll(kernel, tableQuestions('filter'))));
  return answers;
}

export function xtablesFirewall(
  { places, fragments, localAddresses, shortfalls }: Extract<Choice, { name: 'xtables' }>,
  options: FirewallOptions,
): Firewall {
  const { guard, input, egress } = places;
  const ofKernel = { places, fragments, localAddresses };
  return {
    dialect: xtables({ ...ofKernel, ...options }),
    siblings: () => withAllOptions((told) => xtables({ ...ofKernel, ...told })),
    owned: false,
    atomic: false,
    sampler,
    tracer,
    shortfalls,
    describe: (object) => describe(object as XtObject),
    setOf: (object) => setOf(object as XtObject),
    inSetsOf: (constants, elements) =>
      inSetsOf(constants as readonly XtObject[], elements as readonly ElementObject[]),
    counters: (kernel, vips) => vipCounters(kernel, vips, options.counters),
    glance: {
      constants: (kernel) => constants(kernel, [guard, input, egress ?? guard]),
      printFound: async (kernel) => printFound(await kernel.dump(setNames.map(elementsDump))),
      printWanted: (lists) => printWanted(lists as Iterable<Iterable<ElementObject>>),
    },
    // An unwanted set opens nothing unless a rule matches on it, and that rule differs itself.
    guardsAnyway: (object, isWanted) => (object as XtObject).kind === 'set' && !isWanted,
    guardedInPart: () => null,
    replaces: () => false,
  };
}

/** Asks for sets only if ip_set is loaded, since asking loads the module. Throws SystemCallError. */
export async function xtablesRemains(kernel: Kernel): Promise<Remains> {
  const remains: Remains = { transaction: null, words: 'chains and sets vipward-*' };
  if (!existsSync('/sys/module/ip_set')) return remains;
  const found = await constants(kernel);
  return found.length === 0 ? remains : { ...remains, transaction: encoder()({ remove: found, add: [] }) };
}

/**
 * Our sets and rules without elements. Reads only `tables`: other tables may hold very many foreign rules.
 */
async function constants(
  kernel: Pick<Kernel, 'dump'>,
  tables: readonly string[] = tableNames,
): Promise<XtObject[]> {
  const [heads = new Uint8Array(), ...replies] = await kernel.dump([headers(), ...tableDumps(tables)]);
  return [...readSets(heads).values(), ...readTables(heads, replies, tables)];
}

async function askAll(kernel: Kernel, list: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const { family, subject, ask, config, module } of list) {
    answers.push({ family, subject, errno: await errnoOf(kernel, family, ask), config, module });
  }
  return answers;
}

async function errnoOf(kernel: Kernel, family: 4 | 6, ask: Question['ask']): Promise<number> {
  if ('option' in ask) {
    const outcome = await kernel.tables.option(family, ask.option, ask.value);
    return typeof outcome === 'number' ? Math.max(0, -outcome) : 0;
  }
  try {
    return firstErrno(await kernel.ask({ door: 'nfnetlink', bytes: ask.message }));
  } catch (error) {
    if (error instanceof SystemCallError) return error.errno;
    throw error;
  }
}

async function vipCounters(
  kernel: Kernel,
  vips: readonly VirtualIp[],
  countsPorts: boolean,
): Promise<Map<Address, VipCounters>> {
  const counters = new Map<Address, VipCounters>();
  for (const family of [4, 6] as const) {
    const ours = vips.filter((vip) => vip.filtered && familyOf(vip.address) === family);
    if (ours.length === 0) continue;
    const counted = readCounters(await kernel.dump(counterDumps(family, countsPorts)));
    for (const { address, ports } of ours) {
      const packets = ports.map(({ protocol, port }) =>
        countsPorts ? (counted.get(portText(address, protocolNumbers[protocol], port)) ?? null) : null,
      );
      counters.set(address, { dropped: counted.get(address) ?? null, ports: packets });
    }
  }
  return counters;
}
