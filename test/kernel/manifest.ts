// A manifest of a Service from the few things that tests vary.

/** A Service as a manifest would have it. Ports are `TCP 80`. */
export interface Service {
  readonly name: string;
  readonly namespace?: string;
  readonly addresses: readonly string[];
  readonly ports: readonly string[];
  readonly sources?: readonly string[];
  /** Without their `vipward.io/`. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The Service as a document of YAML would give it. */
export function manifest({
  name,
  namespace = 'default',
  addresses,
  ports,
  sources,
  annotations = {},
}: Service): object {
  const named = Object.entries(annotations).map(([key, value]) => [`vipward.io/${key}`, value]);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      annotations: { 'vipward.io/addresses': addresses.join(','), ...Object.fromEntries(named) },
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerSourceRanges: sources ?? [],
      ports: ports.map((words) => {
        const [protocol, port] = words.split(' ');
        return { name: words.toLowerCase().replace(' ', '-'), protocol, port: Number(port) };
      }),
    },
  };
}
