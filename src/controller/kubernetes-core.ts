// A controller without its server, in a cluster: Services from the API server, the generation from the Lease,
// no files. file-core.ts does the same for files.

import type { ControllerConfig } from './config.ts';
import type { Core, CoreInput } from './core.ts';
import { KubernetesParts } from './kubernetes-parts.ts';
import { selfOf, statusInputOf } from './kubernetes-status.ts';
import { clusterEvent } from './sources/kubernetes/cluster-events.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';

/** kube-proxy follows a status within a second or two; other readers may take longer. */
const followMs = 5000;

/** Throws UsageError if no API server is known. */
export function makeKubernetesCore(
  config: ControllerConfig,
  given: KubernetesConfig,
  input: CoreInput,
): Core {
  const parts = new KubernetesParts(config, given, input);
  const { controller, source, readings, clusterWriter, lease, elector, identity } = parts;
  const { reader, writer, keeper } = parts.clients;
  const { statusWriter } = clusterWriter;
  let running: Promise<unknown> = Promise.resolve();
  return {
    controller,
    readings,
    statusInput: () => statusInputOf(parts),
    certificate: identity.certificate,
    nodeOfToken: identity.nodeOfToken,
    replaces: { isTold: statusWriter.isTold, followMs },
    usePools: parts.gate.usePools,
    isOpen: () => source.isComplete,
    self: () => selfOf(parts),
    happened: (what) =>
      what.kind === 'moved' ? clusterWriter.moved(what) : clusterWriter.say(clusterEvent(lease, what)),
    droppedEvents: () => clusterWriter.writes.dropped,
    progressed() {
      parts.deletedNodes.progressed();
      parts.eligibility.progressed();
      statusWriter.progressed();
    },
    async start() {
      input.log.info({ server: reader.server, identity: given.identity }, 'reading');
      source.start();
      running = Promise.all([elector.run(), identity.run()]);
    },
    async end() {
      await Promise.all([running, source.ended()]);
      for (const client of [reader, writer, keeper]) client[Symbol.dispose]();
    },
  };
}
