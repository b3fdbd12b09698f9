// The receiving end of a stream without a socket: a wire that is read when the test says so, and a table.

import { equal } from 'node:assert/strict';
import type { AgentStream, Wire } from '../../src/controller/stream/agent-stream.ts';
import { sha256, type Table } from '../../src/controller/stream/table.ts';
import { canonicalJson, Digests } from '../../src/protocol/digest.ts';
import type { ControllerMessage, TableDigest } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { type Port, Protocol } from '../../src/state/port.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';

export const nothing: TableDigest = { count: 0, digests: {} };
export const nothingAtAll: { rules: TableDigest; placements: TableDigest } = {
  rules: nothing,
  placements: nothing,
};

export interface Receiver {
  readonly wire: Wire;
  /** The canonical JSON of each VIP that it has. */
  readonly state: Map<Address, string>;
  readonly frames: Buffer[];
  readonly queue: Buffer[];
  /** True if the count or digest of the last `synced` was wrong. */
  readonly isWrong: () => boolean;
  readonly have: () => TableDigest;
  readonly drain: (most?: number) => void;
  /** Drops staged pages and ignores deltas until the next `synced`, as after a resync. */
  readonly forget: () => void;
}

/**
 * A wire that keeps frames until it is drained, and a receiver of rules. A frame takes at least `frameBytes`
 * of the wire's buffer.
 */
export function receiver(frameBytes = 0): Receiver {
  const [queue, frames]: [Buffer[], Buffer[]] = [[], []];
  const state = new Map<Address, string>();
  const digests = new Digests(sha256);
  let seq: number | null = null;
  let [buckets, set] = [new Set<number>(), new Map<Address, VirtualIp>()];
  let isWrong = false;
  const wire: Wire = {
    send: (frame) => void queue.push(frame),
    get bufferedAmount() {
      return queue.reduce((sum, { length }) => sum + Math.max(frameBytes, length), 0);
    },
  };
  const put = (resource: VirtualIp) => {
    const json = canonicalJson(resource);
    state.set(resource.address, json);
    digests.set(resource, json);
  };
  const drop = (key: Address) => {
    state.delete(key);
    digests.delete(key);
  };
  const take = (frame: Buffer) => {
    frames.push(frame);
    const message = JSON.parse(messageIn(frame)) as ControllerMessage;
    if (message.type === 'page' && message.table === 'rules') {
      for (const bucket of message.buckets) buckets.add(bucket);
      for (const resource of message.set) set.set(resource.address, resource);
    } else if (message.type === 'synced' && message.table === 'rules') {
      for (const key of [...state.keys()]) if (buckets.has(digests.bucketOf(key))) drop(key);
      for (const resource of set.values()) put(resource);
      [buckets, set] = [new Set(), new Map()];
      seq = message.seq;
      isWrong = digests.total() !== message.digest || digests.count !== message.count;
    } else if (message.type === 'delta' && message.table === 'rules' && seq !== null) {
      equal(message.from, seq, 'no gap is ever sent');
      for (const resource of message.set) put(resource);
      for (const key of message.remove) drop(key);
      seq = message.to;
    }
  };
  const drain = (most = Number.POSITIVE_INFINITY) => {
    for (let taken = 0; queue.length > 0 && taken < most; taken++) take(queue.shift() ?? Buffer.of());
  };
  const forget = () => {
    seq = null;
    [buckets, set] = [new Set(), new Map()];
  };
  const have = () => digests.summary();
  return { wire, state, frames, queue, drain, forget, isWrong: () => isWrong, have };
}

/** The payload of a frame. */
export function messageIn(frame: Buffer): string {
  const length = frame.readUInt8(1);
  return frame.toString('utf8', length < 126 ? 2 : length === 126 ? 4 : 10);
}

/** The VIP of this number, with ports from `port` on. */
export function vip(index: number, port = 80, ports = 1): VirtualIp {
  const address = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}` as Address;
  const list = Array.from({ length: ports }, (_, offset) => ({
    protocol: Protocol.TCP,
    port: (port + offset) as Port,
    service: `demo/s${index}` as ServiceKey,
    delivery: 'host' as const,
    sources: null,
  }));
  return { address, filtered: true, egress: false, ports: list };
}

/** Changes the table and publishes each step. */
export function publish(
  rules: Table<'rules'>,
  streams: readonly AgentStream[],
  set: VirtualIp[],
  remove: Address[] = [],
): void {
  for (const change of rules.put({ set, remove }))
    for (const stream of streams) stream.publish('rules', change);
}
