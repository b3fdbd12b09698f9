// Transport protocols and ports, as Kubernetes names them.

declare const portBrand: unique symbol;

/** A port number of 1-65535. */
export type Port = number & { readonly [portBrand]: true };

/** `spec.ports[].protocol` of a Kubernetes Service. */
export const Protocol = { TCP: 'TCP', UDP: 'UDP', SCTP: 'SCTP' } as const;
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** The IP protocol number of each transport (IANA; IPPROTO_* of netinet/in.h). */
export const protocolNumbers: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

const protocolNames: ReadonlyMap<number, string> = new Map(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name.toLowerCase()]),
);

/** `tcp`, `udp` or `sctp`, as nft and ipset write them; another protocol by its number. */
export function protocolText(number: number): string {
  return protocolNames.get(number) ?? String(number);
}

export class PortError extends Error {
  readonly code = 'BadPort';
}

/** Takes a number of 1-65535. Throws PortError. */
export function parsePort(value: unknown): Port {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535) {
    throw new PortError(`expected 1-65535, got ${JSON.stringify(value)}`);
  }
  return value as Port;
}

/** Takes `TCP`, `UDP` or `SCTP`. Throws PortError. */
export function parseProtocol(value: unknown): Protocol {
  if (typeof value === 'string' && Object.hasOwn(Protocol, value)) return Protocol[value as Protocol];
  throw new PortError(`expected TCP, UDP or SCTP, got ${JSON.stringify(value)}`);
}
