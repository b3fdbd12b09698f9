// Reads the ports of a Service and the source ranges that may reach them; manifest.ts reads the rest. Pure.

import type { Prefix } from '../../state/address.ts';
import { parsePort, parseProtocol } from '../../state/port.ts';
import type { ServicePort } from '../service.ts';
import { annotationPath, sourceRangesName } from './annotations.ts';
import { FieldError, fieldAt, mapping, sequence, textAt } from './fields.ts';

/** Most ports times source ranges of one Service: its rules must fit into a frame of the stream. */
export const portSourceLimit = 20_000;

export function readPorts(value: unknown): ServicePort[] {
  const seen = new Set<string>();
  return sequence(value, 'spec.ports').map((item, index) => {
    const field = `spec.ports[${index}]`;
    const { protocol, port } = readPort(item, field);
    if (seen.has(`${protocol} ${port}`)) throw new FieldError(field, `${protocol} ${port} is declared twice`);
    seen.add(`${protocol} ${port}`);
    return { protocol, port };
  });
}

/** Throws FieldError. */
export function readPort(value: unknown, field: string): ServicePort {
  const entry = mapping(value, field);
  const port = fieldAt(`${field}.port`, () => parsePort(entry['port']));
  const protocol = fieldAt(`${field}.protocol`, () => parseProtocol(entry['protocol'] ?? 'TCP'));
  return { protocol, port };
}

/**
 * Null lets everybody in, as an empty list does in Kubernetes. The older annotation counts if the field is
 * absent or empty.
 */
export function readSources(
  value: unknown,
  annotation: string | null,
  parse: (text: string) => Prefix,
): readonly Prefix[] | null {
  const fromAnnotation = annotation?.split(',').filter((item) => item.trim() !== '') ?? [];
  const listed = sequence(value, 'spec.loadBalancerSourceRanges');
  const items = listed.length > 0 ? listed : fromAnnotation;
  if (items.length === 0) return null;
  const field = listed.length > 0 ? 'spec.loadBalancerSourceRanges' : annotationPath(sourceRangesName);
  const prefixes = items.map((item, index) => {
    return fieldAt(`${field}[${index}]`, () => {
      const text = textAt(item, 'range').trim();
      if (!text.includes('/')) throw new Error(`expected ADDRESS/LENGTH, got ${JSON.stringify(text)}`);
      return parse(text);
    });
  });
  return [...new Set(prefixes)].sort();
}
