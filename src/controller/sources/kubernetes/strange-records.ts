// Reports VirtualIPs that record nothing: made by hand, with an invalid address or under a name that is not
// their address's. The controller ignores them, but cannot write a record of the same name.

import { type Problem, problemAt } from '../../service.ts';
import type { ObjectChanges } from './list-watch.ts';
import { type VirtualIpRecord, virtualIpName, virtualIpsPath } from './virtual-ip.ts';

/** Most such records that are reported by name. */
const mostTold = 10;

export class StrangeRecords {
  /** What is wrong, by name. */
  readonly #wrong = new Map<string, string>();

  /** Takes changes; true if such a record came, changed or went. */
  changed({ set, remove }: ObjectChanges<VirtualIpRecord | null>): boolean {
    const before = this.#wrong.size;
    let isOther = false;
    for (const name of remove) this.#wrong.delete(name);
    for (const [name, record] of set) {
      const wrong = whatIsWrong(name, record);
      isOther ||= wrong !== null && this.#wrong.get(name) !== wrong;
      if (wrong === null) this.#wrong.delete(name);
      else this.#wrong.set(name, wrong);
    }
    return isOther || this.#wrong.size !== before;
  }

  problems(): Problem[] {
    const told = [...this.#wrong].slice(0, mostTold);
    const more = this.#wrong.size - told.length;
    return [
      ...told.flatMap(([name, wrong]) => problemAt(`${virtualIpsPath}/${name}`, wrong)),
      ...problemAt(virtualIpsPath, more > 0 ? `${more} more whose address does not match their name` : null),
    ];
  }
}

function whatIsWrong(name: string, record: VirtualIpRecord | null): string | null {
  if (record !== null && virtualIpName(record.address) === name) return null;
  const what =
    record === null ? 'it has no address' : `its name does not match its address ${record.address}`;
  return `${what}, so it is ignored: remove it by \`kubectl delete vip ${name}\``;
}
