// `vipward cleanup`: takes everything of ours out of this kernel and off its disk, while no agent runs.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { addresses } from '../dialects/addresses/dialect.ts';
import { diff } from '../dialects/delta.ts';
import { decode } from '../dialects/nftables/decode.ts';
import { nftables } from '../dialects/nftables/dialect.ts';
import { Kernel } from '../host/kernel.ts';
import { loadNative } from '../host/native.ts';
import { describeErrno } from '../netlink/ack.ts';
import { journalFile } from './journal.ts';
import { lockHolder } from './lock.ts';

/** Exit code 0 with what was removed, or 1 with why nothing was. Addresses go first, then the filter. */
export async function cleanup({
  stateDir,
}: {
  stateDir: string;
}): Promise<{ code: number; lines: string[] }> {
  const pid = await lockHolder();
  if (pid !== undefined) return { code: 1, lines: [`an agent runs here (pid ${pid}); end it first`] };
  using kernel = new Kernel(loadNative());
  const lines: string[] = [];
  const held = addresses.decode(await kernel.dump(addresses.dumps));
  const none = { constants: [], elements: [], needs: null };
  const stale = diff(held, none);
  for (const { errno, words } of await kernel.commit(addresses.encode(stale)))
    lines.push(describeErrno(errno, words));
  if (lines.length > 0) return { code: 1, lines };
  for (const { address } of stale.remove) lines.push(`removed address ${address}`);
  const dialect = nftables({
    tableFlags: 0,
    setExpressionFlag: true,
    counters: false,
    echo: true,
    observe: false,
  });
  const found = decode(await kernel.dump(dialect.dumps), 0);
  const table = found.constants.filter((object) => object.kind === 'table');
  if (table.length > 0) {
    const receipt = await kernel.commit(dialect.encode({ remove: table, add: [] }));
    const [refused] = receipt;
    if (refused !== undefined) {
      return {
        code: 1,
        lines: [...lines, `table inet vipward: ${describeErrno(refused.errno, refused.words)}`],
      };
    }
    lines.push('removed table inet vipward');
  }
  rmSync(join(stateDir, journalFile), { force: true });
  return { code: 0, lines: lines.length === 0 ? ['nothing of ours was here'] : lines };
}
