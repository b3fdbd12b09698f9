// The manifests of the demo: an editable copy, and the ports that each Service in it declares.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type Document, parseAllDocuments } from 'yaml';
import { type Address, parseAddress, parsePrefix, prefixContains } from '../../state/address.ts';

export interface Declared {
  readonly isForwarded: boolean;
  /** Source ranges of allowed clients; an empty list allows all. */
  readonly ranges: readonly string[];
}

interface Manifest {
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly ports?: readonly { readonly port?: number; readonly protocol?: string }[];
    readonly loadBalancerIP?: string;
    readonly loadBalancerSourceRanges?: readonly string[];
  };
}

/** The manifest file that the demo serves and edits. */
export class DemoServices {
  readonly path: string;
  readonly #documents: readonly Document.Parsed[];

  /** Copies `from` to `path`. Throws Error if `from` cannot be read. */
  constructor(from: string, path: string) {
    this.path = path;
    this.#documents = parseAllDocuments(readFileSync(from, 'utf8')).filter((each) => each !== null);
    this.#write();
  }

  get declared(): ReadonlyMap<string, Declared> {
    const all = this.#manifests().map(({ metadata = {}, spec = {} }): [string, Declared] => [
      `${metadata.namespace ?? 'default'}/${metadata.name}`,
      {
        isForwarded: metadata.annotations?.['vipward.io/delivery'] === 'forward',
        ranges: spec.loadBalancerSourceRanges ?? [],
      },
    ]);
    return new Map(all);
  }

  /** The addresses that Services request explicitly. */
  get addresses(): readonly Address[] {
    return this.#manifests().flatMap(({ metadata, spec }) => {
      const text = metadata?.annotations?.['vipward.io/addresses'] ?? spec?.loadBalancerIP ?? '';
      const words = text.split(',').map((word) => word.trim());
      return words.filter((word) => word !== '').map((word) => parseAddress(word));
    });
  }

  /**
   * Opens one more port on the first Service of the node itself, or closes it again. Returns a description of
   * the change.
   */
  toggle(port: number): string {
    const document = this.#documents.find((each) => {
      const { metadata, spec } = (each.toJS() ?? {}) as Manifest;
      const isForwarded = metadata?.annotations?.['vipward.io/delivery'] === 'forward';
      return (spec?.ports?.length ?? 0) > 0 && !isForwarded;
    });
    if (document === undefined) return 'no Service to change';
    const { metadata, spec } = document.toJS() as Manifest;
    const ports = spec?.ports ?? [];
    const before = ports.findIndex((each) => each.port === port);
    if (before >= 0) document.deleteIn(['spec', 'ports', before]);
    else document.addIn(['spec', 'ports'], { name: 'demo', port, protocol: 'TCP' });
    this.#write();
    return `${metadata?.name} ${before >= 0 ? 'closes' : 'opens'} ${port}/tcp`;
  }

  #manifests(): readonly Manifest[] {
    return this.#documents
      .map((each) => each.toJS() as Manifest | null)
      .filter((each): each is Manifest => each?.kind === 'Service');
  }

  /** Replaces the file by a rename, so that no reader sees half a file. */
  #write(): void {
    const text = this.#documents.map((each) => each.toString({ directives: false })).join('---\n');
    writeFileSync(`${this.path}.new`, text);
    renameSync(`${this.path}.new`, this.path);
  }
}

/** Whether source ranges admit an address; a list without a range of its family closes that family. */
export function admits(ranges: readonly string[], client: Address): boolean {
  return ranges.length === 0 || ranges.some((range) => prefixContains(parsePrefix(range), client));
}
