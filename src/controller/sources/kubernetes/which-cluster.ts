// Checks which cluster an API server belongs to. If the address leads to another cluster, the controller
// drops that server's answers and writes nothing there.

import { mapping, textAt } from '../fields.ts';
import type { ApiClient, ApiRequest } from './client.ts';

export const identityPath = '/api/v1/namespaces/kube-system';

/** The API server belongs to another cluster than before. */
export class AnotherClusterError extends Error {
  readonly code = 'AnotherCluster';
}

export type ConfirmInput = Pick<ApiRequest, 'signal' | 'timeoutMs'>;

export class WhichCluster {
  #uid: string | null = null;
  #problem: string | null = null;

  /** The UID of namespace kube-system, which no two clusters share; null until it is read. */
  get uid(): string | null {
    return this.#uid;
  }

  /** Why the API server's answers were dropped when it was last asked, or null. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * Asks a server which cluster it belongs to. Rejects with AnotherClusterError if that is not the first one.
   */
  async confirm(client: Pick<ApiClient, 'json'>, input: ConfirmInput): Promise<void> {
    const { metadata } = mapping(await client.json({ path: identityPath, ...input }), 'namespace');
    const uid = textAt(mapping(metadata, 'metadata')['uid'], 'metadata.uid');
    this.#uid ??= uid;
    this.#problem = uid === this.#uid ? null : wordsOf({ uid, was: this.#uid });
    if (this.#problem !== null) throw new AnotherClusterError(this.#problem);
  }
}

function wordsOf({ uid, was }: { readonly uid: string; readonly was: string }): string {
  const next = 'correct the server of the kubeconfig; to use this cluster, start the controller again';
  return `another cluster: its UID is ${uid}, and was ${was}; nothing is read from it: ${next}`;
}
