// Parses frames of the other side: unknown -> typed message, or a FrameError that names the bad field.

import type { Address } from '../state/address.ts';
import {
  type AgentMessage,
  type ControllerMessage,
  type DeltaMessage,
  type HeldVip,
  limits,
  type Page,
  RefusalCode,
  type TableDigest,
  type TableName,
  type Tables,
} from './messages.ts';
import {
  readAddress,
  readPlacement,
  readPrefix,
  readServiceKey,
  readTerm,
  readVirtualIp,
} from './resources.ts';
import {
  type Fields,
  FrameError,
  fail,
  fields,
  flag,
  list,
  longList,
  oneOf,
  type Path,
  text,
  under,
  whole,
} from './shape.ts';

const tableNames: readonly TableName[] = ['rules', 'placements'];

type Reader<T> = (value: unknown, path: Path) => T;

const resourceReaders: { readonly [Name in TableName]: Reader<Tables[Name]> } = {
  rules: readVirtualIp,
  placements: readPlacement,
};

/** A frame whose type is read and whose fields are not. */
export interface OpenFrame {
  readonly type: string;
  readonly body: Fields;
}

/** Reads the fields of an agent's frame. Throws FrameError. */
export function readAgentMessage({ type, body }: OpenFrame): AgentMessage {
  switch (type) {
    case 'hello':
      return {
        type,
        version: text(body['version'], 'version', limits.name),
        features: list(body['features'], 'features', text, 100),
        node: readNodeName(body['node'], 'node'),
        firewall: text(body['firewall'], 'firewall', limits.name),
        allow: list(body['allow'], 'allow', readPrefix, limits.ofNode),
        onLink: list(body['onLink'], 'onLink', readPrefix, limits.ofNode),
        ...(body['macs'] === undefined ? {} : { macs: list(body['macs'], 'macs', readMac, limits.ofNode) }),
        cluster: body['cluster'] === null ? null : text(body['cluster'], 'cluster', limits.name),
        generation: whole(body['generation'], 'generation'),
        rules: readDigest(body['rules'], 'rules'),
        placements: readDigest(body['placements'], 'placements'),
        held: longList(body['held'], 'held', readHeld),
      };
    case 'ack':
      return {
        type,
        table: readTable(body),
        seq: whole(body['seq'], 'seq'),
        commitUs: whole(body['commitUs'], 'commitUs'),
      };
    case 'refused':
      return {
        type,
        table: readTable(body),
        key: readAddress(body['key'], 'key'),
        services: list(body['services'], 'services', readServiceKey),
        code: oneOf(body['code'], 'code', Object.values(RefusalCode)),
        reason: text(body['reason'], 'reason', limits.reason),
        ...(body['mac'] === undefined ? {} : { mac: readMac(body['mac'], 'mac') }),
      };
    case 'accepted':
      return { type, table: readTable(body), key: readAddress(body['key'], 'key') };
    case 'held':
      return { type, vips: longList(body['vips'], 'vips', readHeld) };
    case 'heldDelta':
      return {
        type,
        set: longList(body['set'], 'set', readHeld),
        remove: list(body['remove'], 'remove', readAddress),
      };
    case 'resync':
      return { type, table: readTable(body), have: readDigest(body['have'], 'have') };
    case 'tick':
    case 'bye':
      return { type };
    default:
      return fail('type', 'hello, ack, refused, accepted, held, heldDelta, resync, tick or bye', type);
  }
}

/** Parses a frame that a controller sent. Throws FrameError. */
export function parseControllerMessage(frame: string): ControllerMessage {
  const { type, body } = openFrame(frame);
  switch (type) {
    case 'welcome':
      return {
        type,
        version: text(body['version'], 'version', limits.name),
        features: list(body['features'], 'features', text, 100),
        cluster: text(body['cluster'], 'cluster', limits.name),
        generation: whole(body['generation'], 'generation'),
        ruling: flag(body['ruling'], 'ruling'),
      };
    case 'page':
      return readTable(body) === 'rules' ? readPage(body, 'rules') : readPage(body, 'placements');
    case 'synced':
      return {
        type,
        table: readTable(body),
        seq: whole(body['seq'], 'seq'),
        count: whole(body['count'], 'count'),
        digest: text(body['digest'], 'digest', 16),
        ...readRemark(body, 'first'),
      };
    case 'delta':
      return readTable(body) === 'rules' ? readDelta(body, 'rules') : readDelta(body, 'placements');
    case 'tick':
      return { type };
    default:
      return fail('type', 'welcome, page, synced, delta or tick', type);
  }
}

/** Reads the type of a frame from either side. Throws FrameError. */
export function openFrame(frame: string): OpenFrame {
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch (error) {
    throw new FrameError(`not JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const body = fields(value, 'frame');
  return { type: text(body['type'], 'type', 32), body };
}

function readTable(body: Fields): TableName {
  return oneOf(body['table'], 'table', tableNames);
}

function readPage<Name extends TableName>(body: Fields, table: Name): Page<Name> {
  const bucket: Reader<number> = (value, path) => whole(value, path, 255);
  return {
    type: 'page',
    table,
    buckets: list(body['buckets'], 'buckets', bucket, 256),
    set: longList(body['set'], 'set', resourceReaders[table]),
  };
}

function readDelta<Name extends TableName>(body: Fields, table: Name): DeltaMessage<Name> {
  return {
    type: 'delta',
    table,
    from: whole(body['from'], 'from'),
    to: whole(body['to'], 'to'),
    set: longList(body['set'], 'set', resourceReaders[table]),
    remove: list(body['remove'], 'remove', readAddress),
    ...readRemark(body, 'first'),
    ...readRemark(body, 'quiet'),
  };
}

/** An optional list of addresses. */
function readRemark<Name extends string>(body: Fields, name: Name): Partial<Record<Name, Address[]>> {
  const value = body[name];
  if (value === undefined) return {};
  return { [name]: list(value, name, readAddress) } as Record<Name, Address[]>;
}

/** Whether a text is a valid node name: the name of a DNS subdomain, as in Kubernetes. */
export function isNodeName(text: string): boolean {
  return text.length <= limits.nodeName && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text);
}

function readNodeName(value: unknown, path: Path): string {
  const name = text(value, path, limits.nodeName);
  return isNodeName(name) ? name : fail(path, 'lower case letters, digits, - and . between them', name);
}

function readMac(value: unknown, path: Path): string {
  const mac = text(value, path, 17);
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) ? mac : fail(path, 'six bytes as 02:00:5e:10:00:01', mac);
}

function readDigest(value: unknown, path: Path): TableDigest {
  const body = fields(value, path);
  const digests: Record<string, string> = {};
  for (const [bucket, digest] of Object.entries(fields(body['digests'], `${path}.digests`))) {
    const name = `${path}.digests.${bucket.slice(0, 8)}`;
    if (!/^(0|[1-9]\d{0,2})$/.test(bucket) || Number(bucket) > 255)
      return fail(name, 'a bucket of 0-255', bucket);
    const digits = text(digest, name, 16);
    if (!/^[0-9a-f]{16}$/.test(digits)) return fail(name, '16 hexadecimal digits', digest);
    digests[bucket] = digits;
  }
  return { count: whole(body['count'], `${path}.count`), digests };
}

function readHeld(value: unknown, path: Path): HeldVip {
  const body = fields(value, path);
  return {
    address: readAddress(body['address'], under(path, '.address')),
    term: readTerm(body['term'], under(path, '.term')),
    ...(body['down'] !== undefined && flag(body['down'], under(path, '.down')) ? { down: true } : {}),
  };
}
