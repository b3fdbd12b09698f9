// Reads the Service annotations that vipward follows, including those of other products; manifest.ts is the
// only caller.

import { type Address, AddressError, parseAddress } from '../../state/address.ts';
import { Delivery } from '../../state/service.ts';
import { RefusalReason, type ServiceRefusal } from '../service.ts';
import { choiceAt, FieldError, mapping, textAt } from './fields.ts';

const addressNames = [
  'vipward.io/addresses',
  'kube-vip.io/loadbalancerIPs',
  'metallb.io/loadBalancerIPs',
  'metallb.universe.tf/loadBalancerIPs',
  'purelb.io/addresses',
  'lbipam.cilium.io/ips',
] as const;

const poolNames = [
  'vipward.io/pool',
  'metallb.io/address-pool',
  'metallb.universe.tf/address-pool',
  'purelb.io/service-group',
] as const;

const sharingNames = [
  'vipward.io/sharing-key',
  'metallb.io/allow-shared-ip',
  'metallb.universe.tf/allow-shared-ip',
  'purelb.io/allow-shared-ip',
  'lbipam.cilium.io/sharing-key',
] as const;

const deliveryName = 'vipward.io/delivery';

/**
 * The annotations that open something for one Service. A Service that is read without them has the filter,
 * whatever the controller's default.
 */
export const flagNames: readonly string[] = [
  deliveryName,
  'vipward.io/egress',
  'vipward.io/only-service-ports',
  'kube-vip.io/ignore-service-security',
];

/** All names with the prefix vipward.io/; any other one is a spelling mistake. */
const known: readonly string[] = [...addressNames, ...poolNames, ...sharingNames, ...flagNames].filter(
  isOurs,
);

/** The older name of `spec.loadBalancerSourceRanges`. */
export const sourceRangesName = 'service.beta.kubernetes.io/load-balancer-source-ranges';

interface Unsupported {
  readonly prefix: string;
  readonly why: string;
  /** Our annotation for the same purpose: a manifest that has it may keep the other one too. */
  readonly ours: string;
}

/**
 * Annotations of other products that vipward cannot follow. It refuses them by name, since ignoring them
 * would mislead.
 */
const unsupported: readonly Unsupported[] = [
  {
    prefix: 'kube-vip.io/egress',
    why: 'use vipward.io/egress: "true" accepts replies to connections from the VIP, "false" does not',
    ours: 'vipward.io/egress',
  },
  {
    prefix: 'kube-vip.io/loadbalancerHostname',
    why: 'a VIP is an address: name it in vipward.io/addresses',
    ours: 'vipward.io/addresses',
  },
];

export interface AnnotationFacts {
  readonly addresses: readonly Address[];
  readonly pool: string | null;
  readonly sharingKey: string | null;
  readonly delivery: Delivery | null;
  readonly egress: boolean;
  readonly onlyServicePorts: boolean | null;
  readonly sourceRanges: string | null;
  /** A message that names the unknown annotations with our prefix, or null. */
  readonly unfollowed: string | null;
  readonly refusal: ServiceRefusal | null;
}

type Annotations = ReadonlyMap<string, string>;

/** Reads `metadata.annotations` and, where no annotation names an address, `spec.loadBalancerIP`. */
export function readAnnotations(value: unknown, loadBalancerIP: unknown): AnnotationFacts {
  const annotations = texts(value);
  const asked = readAddresses(annotations, loadBalancerIP);
  const ignore = readFlag(annotations, 'kube-vip.io/ignore-service-security');
  return {
    addresses: asked.addresses,
    pool: first(annotations, poolNames)?.value ?? null,
    sharingKey: first(annotations, sharingNames)?.value ?? null,
    delivery: readDelivery(annotations.get(deliveryName)),
    egress: readFlag(annotations, 'vipward.io/egress') ?? false,
    onlyServicePorts:
      readFlag(annotations, 'vipward.io/only-service-ports') ?? (ignore === null ? null : !ignore),
    sourceRanges: annotations.get(sourceRangesName) ?? null,
    unfollowed: unknownOf(annotations),
    refusal: asked.refusal ?? refusalOf(annotations),
  };
}

function texts(value: unknown): Annotations {
  const annotations = new Map<string, string>();
  if (value === undefined || value === null) return annotations;
  for (const [name, text] of Object.entries(mapping(value, 'metadata.annotations'))) {
    if (typeof text !== 'string') {
      throw new FieldError(
        annotationPath(name),
        `expected text, got ${JSON.stringify(text)}: put it in quotes`,
      );
    }
    annotations.set(name, text);
  }
  return annotations;
}

/** How an error names an annotation. */
export function annotationPath(name: string): string {
  return `metadata.annotations[${JSON.stringify(name)}]`;
}

function first(annotations: Annotations, names: readonly string[]) {
  for (const name of names) {
    const value = annotations.get(name)?.trim();
    if (value !== undefined && value !== '') return { name, value };
  }
  return undefined;
}

function readDelivery(value: string | undefined): Delivery | null {
  return value === undefined ? null : choiceAt(value, annotationPath(deliveryName), Object.values(Delivery));
}

function readFlag(annotations: Annotations, name: string): boolean | null {
  const value = annotations.get(name);
  if (value === undefined || value === '') return null;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new FieldError(annotationPath(name), `expected "true" or "false", got ${JSON.stringify(value)}`);
}

/** Most addresses that one Service may name; other products take one or two of a family. */
const mostAddresses = 8;
/** Most characters of the list: room for mostAddresses in any notation, with separators. */
const addressesLimit = 1024;

interface Asked {
  readonly addresses: readonly Address[];
  readonly refusal: ServiceRefusal | null;
}

function readAddresses(annotations: Annotations, loadBalancerIP: unknown): Asked {
  const named = first(annotations, addressNames);
  const spec = textAt(loadBalancerIP ?? '', 'spec.loadBalancerIP');
  const where = named === undefined ? 'spec.loadBalancerIP' : annotationPath(named.name);
  const text = named?.value ?? spec;
  // A user who may write Services may write a megabyte here: a text that is too long is not split.
  if (text.length > addressesLimit) return refused(`${where}: ${text.length} characters`);
  const addresses = new Set<Address>();
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const address = parsed(item);
    // kube-vip takes 0.0.0.0 for "ask DHCP", and a host name for "ask DNS".
    if (address === undefined || address === '0.0.0.0' || address === '::') {
      const message = `${where}: ${JSON.stringify(item)} is not an address: give an address, or remove it`;
      return { addresses: [], refusal: { reason: RefusalReason.NotSupported, message } };
    }
    addresses.add(address);
  }
  if (addresses.size > mostAddresses) return refused(`${where}: ${addresses.size} addresses`);
  return { addresses: [...addresses], refusal: null };
}

function refused(what: string): Asked {
  const message = `${what}: name at most ${mostAddresses} addresses, in at most ${addressesLimit} characters`;
  return { addresses: [], refusal: { reason: RefusalReason.NotSupported, message } };
}

function parsed(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof AddressError) return undefined;
    throw error;
  }
}

function refusalOf(annotations: Annotations): ServiceRefusal | null {
  for (const [name, value] of annotations) {
    const found = unsupported.find(({ prefix }) => name.startsWith(prefix));
    if (found === undefined || value === 'false' || value === '' || annotations.has(found.ours)) continue;
    return {
      reason: RefusalReason.NotSupported,
      message: `${annotationPath(name)} is not supported; ${found.why}`,
    };
  }
  return null;
}

/** Ignoring a misspelt name in silence would mislead, and refusing the Service would take its VIP away. */
function unknownOf(annotations: Annotations): string | null {
  const names = annotations.keys().filter(isOurs);
  const [name, ...others] = names.filter((name) => !known.includes(name));
  if (name === undefined) return null;
  const which = others.length === 0 ? 'is unknown' : `and ${others.length} more are unknown`;
  return `${annotationPath(name.slice(0, 100))} ${which}: known are ${known.join(', ')}`;
}

function isOurs(name: string): boolean {
  return name.startsWith('vipward.io/');
}
