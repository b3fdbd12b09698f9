// The state of a VIP and its reason, from the controller's decisions and the nodes' reports.

import { type Address, addressBytes, familyOf } from '../../state/address.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';
import type { Controller } from '../controller.ts';
import type { Bar, Node } from '../owners/node.ts';
import { lateAfterTicks } from '../owners/nominations.ts';
import type { KeptRefusal } from '../owners/refusals.ts';
import { isServing } from '../owners/serving.ts';

/** The state of a VIP in the cluster; docs/operating.md says what each means. */
export const VipState = {
  pending: 'pending',
  serving: 'serving',
  moving: 'moving',
  unowned: 'unowned',
  refused: 'refused',
  released: 'released',
} as const;
export type VipState = (typeof VipState)[keyof typeof VipState];

/** A state with a stable reason word and a sentence. */
export interface VipCondition {
  readonly state: VipState;
  readonly reason: string;
  readonly message: string;
}

/** The state of a VIP and its reason. */
export function vipState(controller: Controller, address: Address): VipCondition {
  const { owners } = controller;
  if (owners.leaving.has(address)) {
    return { state: 'released', reason: 'Released', message: 'no Service uses it; its node is releasing it' };
  }
  const owner = owners.ownerOf(address);
  if (owner === undefined) return unplaced(controller, address);
  const node = owners.nodeOf(address);
  if (owners.moves.has(address)) {
    return { state: 'moving', reason: 'Moved', message: `${owner.node} is taking it over` };
  }
  if (!node?.isConnected) {
    const message = `${owner.node} is not connected and keeps it: vipward move ${address} NODE`;
    return { state: 'unowned', reason: 'NoEligibleNode', message };
  }
  const refusal = node.refusalOf(address);
  if (refusal !== undefined && !node.held.has(address))
    return { state: 'refused', reason: refusal.code, message: refusal.reason };
  if (isServing(owners, address)) {
    if (node.down.has(address)) return stranded(address, owner.node);
    const message =
      refusal === undefined
        ? whoAdmitsNobody(controller.rules.get(address))
        : `the last change was refused: ${refusal.code}: ${refusal.reason}`;
    return { state: 'serving', reason: refusal === undefined ? 'Announced' : refusal.code, message };
  }
  return { state: 'pending', reason: 'Allocated', message: `${owner.node} has not announced it yet` };
}

/** Names the Services that admit no client of the VIP's family; empty if there are none. */
function whoAdmitsNobody(vip: VirtualIp | undefined): string {
  if (vip?.filtered !== true) return '';
  const family = familyOf(vip.address);
  const isClosed = ({ sources }: VipPort): boolean =>
    sources?.every((prefix) => familyOf(prefix) !== family) === true;
  const [first, ...others] = new Set(vip.ports.filter(isClosed).map(({ service }) => service));
  if (first === undefined) return '';
  const who = others.length === 0 ? first : `${first} and ${others.length} more`;
  const what = `the source ranges of ${who} name none of IPv${family}`;
  return `${what}, so no client reaches its ports on ${vip.address}`;
}

function stranded(address: Address, node: string): VipCondition {
  const what = `no client reaches it on ${node}, which keeps it: its link there is down or has no carrier`;
  const message = `${what}; repair the link, or vipward move ${address} NODE`;
  return { state: 'unowned', reason: 'NoInterface', message };
}

/** Why no VIP is placed on a node that did not commit its rules in time. */
function latenessOf({ name }: Node): string {
  const remedy = `read the problems of its agent: "vipward status" on ${name}`;
  return `${name} has committed nothing for ${lateAfterTicks} s, though it is connected; ${remedy}`;
}

/** Why a node may not be given a VIP; null if it may. */
export function whyNotOn(
  controller: Controller,
  address: Address,
  { name, node }: { name: string; node: Node | undefined },
): string | null {
  if (node === undefined || !node.isConnected) return 'not connected';
  if (node.isDrained) return `drained: vipward undrain ${name} lets it have VIPs again`;
  if (node.isLate) return latenessOf(node);
  const refusal = node.refusalOf(address);
  if (refusal !== undefined) return `refused ${address}: ${refusal.code}: ${refusal.reason}`;
  const bar = node.bar(address);
  if (bar !== null) return `${bar.reason}: ${bar.message}`;
  if (node.impossible.has(address)) return `claims ${address} by a term that no controller issued`;
  if (!node.reaches(addressBytes(address))) return `${address} is not on its link, or not in its --allow`;
  const objector = controller.nodes.objectorTo(address);
  if (objector !== undefined) return `refused by ${objector.name}: ${objector.refusalOf(address)?.reason}`;
  const hasRules = controller.owners.candidates.hasRules(node, address);
  return hasRules ? null : `has not committed the rules of ${address} yet`;
}

function whoRefuses({ name, isConnected }: Node, { reason }: KeptRefusal): string {
  if (isConnected) return `${name}: ${reason}`;
  return `${name}, which is away: ${reason}; if that node is gone for good, start the controller again`;
}

function unplaced(controller: Controller, address: Address): VipCondition {
  const chosen = controller.owners.nominations.get(address);
  if (chosen?.isLate) return { state: 'pending', reason: 'NoEligibleNode', message: latenessOf(chosen) };
  if (chosen) {
    return { state: 'pending', reason: 'Allocated', message: `${chosen.name} is committing its rules` };
  }
  const { nodes, owners } = controller;
  if (!owners.isSettled && nodes.connected().next().done === false) {
    return {
      state: 'pending',
      reason: 'Allocated',
      message: 'the controller first asks the nodes which VIPs they hold',
    };
  }
  let bar: Bar | null = null;
  let isOpen = false;
  for (const node of nodes.all()) {
    if (!node.isConnected && !node.objectsTo(address)) continue;
    if (node.impossible.has(address)) {
      const message = `${node.name} claims it by a term that no controller issued: no other node can have it`;
      return { state: 'pending', reason: 'ImpossibleTerm', message };
    }
    const refusal = node.refusalOf(address) ?? node.refusals.passed(address);
    if (refusal !== undefined)
      return { state: 'refused', reason: refusal.code, message: whoRefuses(node, refusal) };
    const found = node.bar(address);
    isOpen ||= found === null && !node.isDrained;
    // A node that may have no VIP at all says nothing of the endpoints that the others lack.
    if (bar === null || (found?.reason === 'NoLocalEndpoints' && bar.reason !== found.reason)) bar = found;
  }
  // Where a node may have it as the cluster says, the cluster is not what to change.
  if (bar !== null && !isOpen) return { state: 'pending', ...bar };
  const message = 'no connected and undrained node has it on its link and in its --allow';
  return { state: 'pending', reason: 'NoEligibleNode', message };
}
