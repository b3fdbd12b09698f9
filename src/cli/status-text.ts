// The tables of `vipward status`, from the JSON of a controller or an agent.

import type { Output } from './settings.ts';
import type {
  AgentStatus,
  Beside,
  ControllerStatus,
  EndedStatus,
  PortStatus,
  TermStatus,
} from './status-json.ts';
import { plain, table } from './table.ts';

/** The most rows of a table of problems, which many nodes or manifests can have. */
const mostRows = 20;
/** The most ports or Services in a cell. */
const mostInCell = 8;

/** A controller's status: VIPs and nodes, then everything that is not as requested. */
export function controllerText(status: ControllerStatus, output: Output, beside: Beside | null): string {
  const { vips, nodes } = status;
  const counters = new Map(beside?.vips.map((vip) => [vip.address, vip]));
  const rows = vips.map((vip) => {
    // Only the counters of the VIP's own node tell what happens to it.
    const counted = vip.node === beside?.node ? counters.get(vip.address) : undefined;
    const ports = vip.services.flatMap((service) => service.ports);
    const cells = [vip.address, vip.node, vip.state, vip.reason, portsText(ports, counted?.ports)];
    cells.push(droppedText(vip, counted?.dropped));
    cells.push(cellOf(vip.services, ({ key }) => key, ','));
    if (output === 'wide') cells.push(termText(vip.term), vip.message ?? null);
    return cells.map(plain);
  });
  const wide = output === 'wide' ? ['TERM', 'MESSAGE'] : [];
  const head = ['VIP', 'NODE', 'STATE', 'REASON', 'PORTS', droppedHead(beside ?? {}), 'SERVICES', ...wide];
  const nodeRows = nodes.map((node) => {
    const here = node.drained === true ? 'drained' : node.late === true ? 'late' : 'connected';
    const away = node.drained === true ? 'drained, gone' : 'gone';
    const state = node.connected ? here : away;
    const cells = [node.name, state, node.firewall, node.seq, lagText(node.lagMs)];
    if (output === 'wide') cells.push(endedText(node.lastClosed ?? null));
    return cells.map(plain);
  });
  const nodeHead = ['NODE', 'STATE', 'FIREWALL', 'SEQ', 'LAG', ...(output === 'wide' ? ['LAST CLOSED'] : [])];
  const parts = [table(head, rows), table(nodeHead, nodeRows)];
  const standing = standingText(status);
  if (standing !== '') parts.unshift(standing);
  parts.push(...troubles(status));
  const ignored = ignoredText(status);
  if (output === 'wide' && ignored !== '') parts.push(ignored);
  return parts.join('\n');
}

/** Lines about the controller itself; empty if it leads and has read and follows the Services. */
function standingText(status: ControllerStatus): string {
  return `${standbyText(status)}${followingText(status)}${raisedText(status)}`;
}

/** A standby knows no VIPs and nodes, which must not look as if there were none. */
function standbyText({ role, identity, leader = null }: ControllerStatus): string {
  if (role !== 'standby') return '';
  if (leader === null) return 'standby: it knows no leader\n';
  if (leader.identity === identity) return 'standby: it holds the Lease, but did not renew it in time\n';
  return `standby: the leader is ${plain(leader.identity)} at ${plain(leader.address)}\n`;
}

function raisedText({ generationRaised }: ControllerStatus): string {
  if (generationRaised === undefined || generationRaised === null) return '';
  const { from, to, node, secondsAgo } = generationRaised;
  const how = `${plain(node)} knew ${to - 1}; check whether the records of this controller are an old backup`;
  return `GenerationRaised: from ${from} to ${to}, ${secondsAgo} s ago, since ${how}\n`;
}

function followingText({ synced, reason, massRemoval }: ControllerStatus): string {
  const held = massRemoval ?? null;
  if (held !== null) {
    const left = `accepted in ${Math.ceil(held.secondsLeft)} s if a second reading agrees`;
    return `MassRemoval: ${held.vips} VIPs would be removed at once; ${left}\n`;
  }
  if (synced !== false && reason !== 'NotComplete') return '';
  const unread = Object.entries(synced ?? {})
    .filter(([, isRead]) => !isRead)
    .map(([list]) => plain(list));
  return `not synced: ${plain(reason)}${unread.length === 0 ? '' : `: ${unread.join(', ')}`}\n`;
}

/** `1008 not JSON: ..., 3 s ago` */
function endedText(ended: EndedStatus | null): string | null {
  return ended === null ? null : `${ended.code} ${ended.reason}, ${ended.secondsAgo} s ago`;
}

function troubles(status: ControllerStatus): string[] {
  const { vips, nodes, refused = [], problems = [], refusedStreams = [] } = status;
  const tables: string[] = [];
  // A Service that has its VIP may still have lost one of its ports to another Service.
  const inPart = vips.flatMap(({ message = '', services }) =>
    services.filter((service) => (service.message ?? '') !== '' && service.message !== message),
  );
  const lines = [...refused, ...inPart].map(({ key, reason, message }) => [key, reason, message].map(plain));
  if (lines.length > 0) tables.push(table(['REFUSED', 'REASON', 'MESSAGE'], lines));
  const owners = new Map(vips.map(({ address, node }) => [address, node]));
  const byNodes = nodes.flatMap(({ name, refusals = [] }) => {
    // A VIP outside --allow of the node is as requested while another node has it.
    const isHere = (key: string) => [name, null, undefined].includes(owners.get(key));
    const shown = refusals.filter(({ key, code }) => code !== 'Forbidden' || isHere(key));
    return shown.map(({ key, code, reason }) => [key, name, code, reason].map(plain));
  });
  if (byNodes.length > 0) {
    const shown = table(['REFUSED VIP', 'BY NODE', 'REASON', 'MESSAGE'], byNodes.slice(0, mostRows));
    tables.push(shown + moreText(byNodes.length));
  }
  const places = problems.map((problem) => {
    const { file, document, service, message } = problem;
    return [file, document, service, message].map(plain);
  });
  const streams = refusedStreams.map((ended) => [ended.node, endedText(ended)].map(plain));
  if (streams.length > 0) tables.push(table(['REFUSED STREAM OF', 'CLOSED'], streams));
  if (places.length > 0) tables.push(table(['PROBLEM IN', 'DOCUMENT', 'SERVICE', 'MESSAGE'], places));
  return tables;
}

function moreText(rows: number): string {
  return rows > mostRows ? `and ${rows - mostRows} more: -o json has all of them\n` : '';
}

/** Objects that were read but request none of our VIPs. */
function ignoredText({ ignored = {} }: ControllerStatus): string {
  const kinds = Object.entries(ignored);
  if (kinds.length === 0) return '';
  const words = kinds.slice(0, mostRows).map(([kind, count]) => `${plain(kind)} (${plain(count)})`);
  return `ignored: ${words.join(', ')}\n${moreText(kinds.length)}`;
}

/** An agent's status of its node. */
export function agentText(status: AgentStatus, output: Output): string {
  const { vips, controllers = [], problems = [] } = status;
  const rows = vips.map((vip) => {
    const cells = [vip.address, vip.held ? 'yes' : 'no', vip.state, vip.reason];
    cells.push(portsText(vip.ports, vip.ports), droppedText(vip, vip.dropped));
    if (output === 'wide') cells.push(termText(vip.term), vip.message ?? '');
    return cells.map(plain);
  });
  const wide = output === 'wide' ? ['TERM', 'MESSAGE'] : [];
  const head = ['VIP', 'HELD', 'STATE', 'REASON', 'PORTS', droppedHead(status), ...wide];
  const parts = [agentLine(status), table(head, rows)];
  const streams = controllers.map(({ url, state, reason }) => [url, state, reason].map(plain));
  if (streams.length > 0) parts.push(table(['CONTROLLER', 'STATE', 'REASON'], streams));
  const told = vips.filter(({ message = '' }) => message !== '');
  const { refused = [], waiting = [] } = Object.groupBy(told, ({ state }) =>
    state === 'refused' ? 'refused' : 'waiting',
  );
  const lines = refused.map(({ address, reason, message }) => [address, reason, message].map(plain));
  if (lines.length > 0) parts.push(table(['REFUSED', 'REASON', 'MESSAGE'], lines));
  const waits = waiting.map(({ address, message }) => [address, message].map(plain));
  if (waits.length > 0) parts.push(table(['WAITS', 'MESSAGE'], waits));
  if (problems.length > 0) parts.push(problems.map((problem) => `problem: ${plain(problem)}\n`).join(''));
  return parts.join('\n');
}

function agentLine(status: AgentStatus): string {
  const { node, firewall, inSync } = status;
  const words = [`node ${plain(node)}`, `firewall ${plain(firewall)}`, inSync ? 'in sync' : 'not in sync'];
  if (isObserving(status)) words.push('observing: nothing is dropped');
  return `${words.join(', ')}\n`;
}

function isObserving({ filter }: Pick<AgentStatus, 'filter'>): boolean {
  return filter === 'observe';
}

/** An agent that observes counts packets that it let through. */
function droppedHead(status: Pick<AgentStatus, 'filter'>): string {
  return isObserving(status) ? 'WOULD DROP' : 'DROPPED';
}

/** A VIP whose Services opted out of filtering never drops, so it shows `unfiltered` and no number. */
function droppedText(vip: { readonly filtered?: boolean }, dropped: number | null | undefined): string {
  return vip.filtered === false ? 'unfiltered' : String(dropped ?? '-');
}

function termText(term: TermStatus | null): string {
  return term === null ? '-' : `${term.generation}.${term.n}`;
}

/** `80/tcp 53/udp=1200`: the number is a count of packets, if there is one. */
function portsText(ports: readonly PortStatus[], counted: readonly PortStatus[] = []): string {
  const textOf = ({ protocol, port }: PortStatus) => {
    const found = counted.find((other) => other.protocol === protocol && other.port === port);
    const name = `${port}/${protocol.toLowerCase()}`;
    return typeof found?.packets === 'number' ? `${name}=${found.packets}` : name;
  };
  return cellOf(ports, textOf, ' ');
}

/** The first items, and the number of the others: the widest cell of a column pads all rows. */
function cellOf<T>(items: readonly T[], textOf: (item: T) => string, separator: string): string {
  const more = items.length - mostInCell;
  const texts = items.slice(0, mostInCell).map(textOf);
  return [...texts, ...(more > 0 ? [`+${more}`] : [])].join(separator);
}

export function lagText(lagMs: number | null): string {
  if (lagMs === null) return '-';
  return lagMs < 10 ? `${lagMs.toFixed(2)} ms` : `${Math.round(lagMs)} ms`;
}
