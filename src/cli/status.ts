// `vipward status`: what a controller or an agent says of itself, as tables or as the JSON it sent.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, ask, NoAnswerError, type Server } from './client.ts';
import { chosenRole, type Flags, type Output, outputOf, type Surroundings, serverOf } from './settings.ts';
import { plain, table } from './table.ts';

/** The fields that are printed; a server may send more. */
export interface ControllerStatus {
  readonly vips: readonly {
    readonly address: string;
    readonly node: string | null;
    readonly term: number | null;
    readonly state: string;
    readonly reason: string;
    readonly message?: string;
    readonly filtered?: boolean;
    readonly services: readonly {
      readonly key: string;
      readonly ports: readonly PortStatus[];
      readonly state: string;
      readonly reason: string;
    }[];
  }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly connected: boolean;
    readonly drained?: boolean;
    readonly firewall?: string | null;
    readonly seq: number | null;
    readonly lagMs: number | null;
  }[];
  readonly refused?: readonly { readonly key: string; readonly reason: string; readonly message: string }[];
}

export interface PortStatus {
  readonly protocol: string;
  readonly port: number;
  readonly packets?: number | null;
}

export interface AgentStatus {
  readonly node: string;
  readonly firewall: string | null;
  readonly inSync: boolean;
  readonly vips: readonly {
    readonly address: string;
    readonly held: boolean;
    readonly term: number | null;
    readonly state: string;
    readonly reason: string;
    readonly ports: readonly PortStatus[];
    readonly dropped: number | null;
  }[];
}

type AgentVips = ReadonlyMap<string, AgentStatus['vips'][number]>;

const watchIntervalMs = 1000;
/** An agent on this machine adds counters to the table; nobody waits for one that is not there. */
const besideTimeoutMs = 500;

export async function runStatus(
  flags: Flags & { readonly watch?: boolean },
  around: Surroundings,
): Promise<number> {
  const output = outputOf(flags, around.env);
  if (flags.watch !== true) {
    around.out.write(await statusText(flags, output, around));
    return 0;
  }
  for (;;) {
    const text = await statusText(flags, output, around);
    around.out.write(output === 'json' ? text : `\u001b[H\u001b[2J${text}`);
    await sleep(watchIntervalMs);
  }
}

async function statusText(flags: Flags, output: Output, around: Surroundings): Promise<string> {
  const { role, answer } = await find(flags, around);
  if (output === 'json') return answer.text.endsWith('\n') ? answer.text : `${answer.text}\n`;
  if (role === 'agent') return agentTable(answer.json as AgentStatus, output);
  const beside = await vipsBeside(flags, around);
  return controllerTable(answer.json as ControllerStatus, output, beside);
}

/** The server that was named; where none was, the controller of this machine, else its agent. */
async function find(flags: Flags, { env }: Surroundings): Promise<{ role: Server['role']; answer: Answer }> {
  const role = chosenRole(flags, env);
  const of = (chosen: Server['role']) => askStatus(serverOf(chosen, flags, env));
  if (role !== undefined) return { role, answer: await of(role) };
  try {
    return { role: 'controller', answer: await of('controller') };
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    return await of('agent').then(
      (answer) => ({ role: 'agent', answer }),
      () => {
        throw error;
      },
    );
  }
}

async function askStatus(server: Server): Promise<Answer> {
  const path = server.role === 'controller' ? '/api/v1/status' : '/status';
  const answer = await ask(server, { method: 'GET', path });
  const { vips } = answer.json as { readonly vips?: unknown };
  if (Array.isArray(vips)) return answer;
  const where = server.origins.map((origin) => origin.origin).join(', ');
  throw new NoAnswerError(`${where} answered ${path}, but without vips: it is no vipward ${server.role}`);
}

async function vipsBeside(flags: Flags, { env }: Surroundings): Promise<AgentVips> {
  try {
    const server = serverOf('agent', { ...flags, timeout: `${besideTimeoutMs}ms` }, env);
    const { vips } = (await askStatus(server)).json as AgentStatus;
    return new Map(vips.map((vip) => [vip.address, vip]));
  } catch {
    return new Map();
  }
}

function controllerTable(
  { vips, nodes, refused = [] }: ControllerStatus,
  output: Output,
  beside: AgentVips,
): string {
  const rows = vips.map((vip) => {
    const counted = beside.get(vip.address);
    const ports = vip.services.flatMap((service) => service.ports);
    const cells = [vip.address, vip.node, vip.state, vip.reason, portsText(ports, counted?.ports)];
    cells.push(counted?.dropped === undefined ? null : String(counted.dropped ?? '-'));
    cells.push(vip.services.map((service) => service.key).join(','));
    if (output === 'wide') cells.push(String(vip.term ?? '-'), vip.message ?? null);
    return cells.map(plain);
  });
  const wide = output === 'wide' ? ['TERM', 'MESSAGE'] : [];
  const head = ['VIP', 'NODE', 'STATE', 'REASON', 'PORTS', 'DROPPED', 'SERVICES', ...wide];
  const nodeRows = nodes.map((node) => {
    const state = node.connected ? (node.drained === true ? 'drained' : 'connected') : 'gone';
    return [node.name, state, node.firewall, node.seq, lagText(node.lagMs)].map(plain);
  });
  const text = `${table(head, rows)}\n${table(['NODE', 'STATE', 'FIREWALL', 'SEQ', 'LAG'], nodeRows)}`;
  if (refused.length === 0) return text;
  const lines = refused.map(({ key, reason, message }) => [key, reason, message].map(plain));
  return `${text}\n${table(['REFUSED', 'REASON', 'MESSAGE'], lines)}`;
}

function agentTable({ node, firewall, inSync, vips }: AgentStatus, output: Output): string {
  const head = `node ${plain(node)}, firewall ${plain(firewall)}, ${inSync ? 'in sync' : 'not in sync'}\n\n`;
  const rows = vips.map((vip) => {
    const cells = [vip.address, vip.held ? 'yes' : 'no', vip.state, vip.reason];
    cells.push(portsText(vip.ports, vip.ports), String(vip.dropped ?? '-'));
    if (output === 'wide') cells.push(String(vip.term ?? '-'));
    return cells.map(plain);
  });
  const wide = output === 'wide' ? ['TERM'] : [];
  return head + table(['VIP', 'HELD', 'STATE', 'REASON', 'PORTS', 'DROPPED', ...wide], rows);
}

/** `80/tcp 53/udp=1200`: the number is of packets, where they are counted. */
function portsText(ports: readonly PortStatus[], counted: readonly PortStatus[] = []): string {
  const texts = ports.map(({ protocol, port }) => {
    const found = counted.find((other) => other.protocol === protocol && other.port === port);
    const name = `${port}/${protocol.toLowerCase()}`;
    return typeof found?.packets === 'number' ? `${name}=${found.packets}` : name;
  });
  return texts.join(' ');
}

export function lagText(lagMs: number | null): string {
  if (lagMs === null) return '-';
  return lagMs < 10 ? `${lagMs.toFixed(2)} ms` : `${Math.round(lagMs)} ms`;
}
