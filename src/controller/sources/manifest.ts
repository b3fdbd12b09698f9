// Reads the Services of one manifest document, or says which field is wrong. Pure.

import {
  type Address,
  AddressError,
  type Family,
  type Prefix,
  parseAddress,
  parseLegacyPrefix,
  parsePrefix,
} from '../../state/address.ts';
import { Delivery, namesOf, parseServiceKey, type ServiceKey } from '../../state/service.ts';
import {
  type FamilyWish,
  RefusalReason,
  type ServiceManifest,
  type ServicePort,
  type ServiceRefusal,
} from '../service.ts';
import { type AnnotationFacts, readAnnotations } from './annotations.ts';
import {
  choiceAt,
  FieldError,
  fieldAt,
  type Mapping,
  mapping,
  memberAt,
  sequence,
  textAt,
} from './fields.ts';
import { portSourceLimit, readPorts, readSources } from './traffic.ts';

/** The class of Services that vipward serves; from files it also serves those without a class. */
export const loadBalancerClass = 'vipward.io/vip';

/**
 * The content of a document. `invalid` are Services that have a name and a wrong field; `ignored` are the
 * kinds of other objects.
 */
export interface DocumentFacts {
  readonly services: readonly ServiceManifest[];
  readonly invalid: readonly { readonly key: ServiceKey; readonly message: string }[];
  readonly ignored: readonly string[];
}

/** What differs between the sources of manifests. */
export interface ManifestRules {
  /** The classes of Services to serve. */
  readonly classes: readonly string[];
  /** Whether to serve Services without a class too. */
  readonly takesUnclassed: boolean;
  readonly delivery: Delivery;
  /**
   * Whether an API server gave the manifests. Then `status` is a record of ours and not copied from
   * elsewhere, `ipFamilies` are those of the ClusterIPs, which the server has filled in, and source ranges
   * may have any form that the server accepts.
   */
  readonly isOfCluster: boolean;
}

/** In files, a port belongs to a listener of the node itself unless the manifest says otherwise. */
const fileRules: ManifestRules = {
  classes: [loadBalancerClass],
  takesUnclassed: true,
  delivery: Delivery.host,
  isOfCluster: false,
};

const nothing: readonly Address[] = [];

/** Reads one document. Throws FieldError if it is unclear which Services the document declares. */
export function readDocument(value: unknown, rules: ManifestRules = fileRules): DocumentFacts {
  const facts = {
    services: [] as ServiceManifest[],
    invalid: [] as DocumentFacts['invalid'][number][],
    ignored: [] as string[],
  };
  for (const { object, at } of objectsOf(value)) {
    const kind = textAt(object['kind'], `${at}kind`);
    if (!isService(object, kind)) {
      facts.ignored.push(kind);
      continue;
    }
    const key = readKey(object, at);
    try {
      const service = readService(object, key, rules);
      if (typeof service === 'string') facts.ignored.push(service);
      else facts.services.push(service);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      facts.invalid.push({ key, message: `${at}${error.message}` });
    }
  }
  return facts;
}

/** The object itself, or the items of a List, each with its path. */
function objectsOf(value: unknown): readonly { readonly object: Mapping; readonly at: string }[] {
  if (value === null || value === undefined) return [];
  const object = mapping(value, 'document');
  const kind = object['kind'];
  if (kind !== 'List' && kind !== 'ServiceList') return [{ object, at: '' }];
  return sequence(object['items'], 'items').map((item, index) => {
    const at = `items[${index}]`;
    // The items of a ServiceList carry no kind of their own.
    const defaults = kind === 'ServiceList' ? { kind: 'Service', apiVersion: 'v1' } : {};
    return { object: { ...defaults, ...mapping(item, at) }, at: `${at}.` };
  });
}

function isService(object: Mapping, kind: string): boolean {
  const version = object['apiVersion'];
  return kind === 'Service' && (version === undefined || version === 'v1');
}

function readKey(object: Mapping, at: string): ServiceKey {
  const metadata = mapping(object['metadata'], `${at}metadata`);
  const name = textAt(metadata['name'], `${at}metadata.name`);
  const namespace = textAt(metadata['namespace'] ?? 'default', `${at}metadata.namespace`);
  return fieldAt(`${at}metadata`, () => parseServiceKey(`${namespace}/${name}`));
}

/** A Service to serve, or the word under which a Service that is not ours is counted. */
function readService(object: Mapping, key: ServiceKey, rules: ManifestRules): ServiceManifest | string {
  const metadata = mapping(object['metadata'], 'metadata');
  const spec = mapping(object['spec'] ?? {}, 'spec');
  const type = textAt(spec['type'] ?? 'ClusterIP', 'spec.type');
  if (type !== 'LoadBalancer') return `Service of type ${type}`;
  const ofClass = spec['loadBalancerClass'] ?? null;
  if (ofClass === null && !rules.takesUnclassed) return 'Service without a class';
  if (ofClass !== null && !rules.classes.includes(textAt(ofClass, 'spec.loadBalancerClass')))
    return `Service of class ${ofClass}`;
  const facts = readAnnotations(metadata['annotations'], spec['loadBalancerIP']);
  const ports = readPorts(spec['ports']);
  const parseRange = rules.isOfCluster ? parseLegacyPrefix : parsePrefix;
  const sources = readSources(spec['loadBalancerSourceRanges'], facts.sourceRanges, parseRange);
  return {
    key,
    namespace: namesOf(key).namespace,
    createdMs: readCreated(metadata['creationTimestamp']),
    ...(rules.isOfCluster ? { recorded: readIngress(object['status']) } : {}),
    addresses: facts.addresses,
    pool: facts.pool,
    sharingKey: facts.sharingKey,
    wish: readWish(spec, rules),
    ports,
    sources,
    delivery: facts.delivery ?? rules.delivery,
    egress: facts.egress,
    onlyServicePorts: facts.onlyServicePorts,
    trafficPolicy: readTrafficPolicy(spec),
    ...(facts.unfollowed === null ? {} : { unfollowed: facts.unfollowed }),
    refusal: refusalOf(facts, ports, sources),
  };
}

function refusalOf(
  facts: AnnotationFacts,
  ports: readonly ServicePort[],
  sources: readonly Prefix[] | null,
): ServiceRefusal | null {
  if (facts.refusal !== null) return facts.refusal;
  if (ports.length === 0)
    return { reason: RefusalReason.NoPorts, message: 'spec.ports is empty: declare at least one port' };
  const size = ports.length * Math.max(1, sources?.length ?? 0);
  if (size <= portSourceLimit) return null;
  const message = `${size} pairs of port and source range; at most ${portSourceLimit}: split the Service`;
  return { reason: RefusalReason.NotSupported, message };
}

function readCreated(value: unknown): number {
  const text = value instanceof Date ? value.toISOString() : value;
  if (typeof text !== 'string') return Number.POSITIVE_INFINITY;
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new FieldError('metadata.creationTimestamp', `expected a time, got ${JSON.stringify(text)}`);
  return ms;
}

/**
 * The addresses in `status.loadBalancer`; entries without an address belong to another writer and are left
 * out.
 */
function readIngress(value: unknown): readonly Address[] {
  const ingress = memberAt(value, ['loadBalancer', 'ingress']);
  if (!Array.isArray(ingress)) return nothing;
  // A copy has no spare room; a list that grew has room for sixteen more entries.
  return ingress
    .map(readIngressAddress)
    .filter((address) => address !== null)
    .slice();
}

function readIngressAddress(entry: unknown): Address | null {
  const ip = memberAt(entry, ['ip']);
  try {
    return typeof ip === 'string' ? parseAddress(ip) : null;
  } catch (error) {
    if (error instanceof AddressError) return null;
    throw error;
  }
}

/** Throws FieldError. */
export function readTrafficPolicy(spec: Mapping): ServiceManifest['trafficPolicy'] {
  const value = spec['externalTrafficPolicy'] ?? 'Cluster';
  return choiceAt(value, 'spec.externalTrafficPolicy', ['Cluster', 'Local']);
}

/** Throws FieldError. */
export function readWish(spec: Mapping, { isOfCluster }: Pick<ManifestRules, 'isOfCluster'>): FamilyWish {
  const families = sequence(spec['ipFamilies'], 'spec.ipFamilies').map((value, index): Family => {
    return choiceAt(value, `spec.ipFamilies[${index}]`, ['IPv4', 'IPv6']) === 'IPv4' ? 4 : 6;
  });
  if (families.length > 2 || new Set(families).size !== families.length) {
    throw new FieldError('spec.ipFamilies', 'expected at most one IPv4 and one IPv6');
  }
  const policies = ['SingleStack', 'PreferDualStack', 'RequireDualStack'] as const;
  const value = spec['ipFamilyPolicy'];
  const named =
    value === undefined || value === null ? null : choiceAt(value, 'spec.ipFamilyPolicy', policies);
  if (named === 'SingleStack' && families.length === 2) {
    throw new FieldError(
      'spec.ipFamilyPolicy',
      'SingleStack takes one family, but spec.ipFamilies names two',
    );
  }
  // Nothing would be forwarded for a family without a ClusterIP, even if both families are preferred.
  if (isOfCluster && families.length === 1) return { families, policy: 'SingleStack' };
  return { families, policy: named ?? (families.length === 2 ? 'RequireDualStack' : null) };
}
