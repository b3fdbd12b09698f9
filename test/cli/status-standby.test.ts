// The first lines of `status` from a controller of a cluster that does not rule or is not synced.
import { doesNotMatch, match } from 'node:assert/strict';
import { test } from 'node:test';
import { run, startStub } from './stub.ts';

const lists = { services: true, nodes: true, endpointSlices: true, virtualIPs: true };
const standby = { role: 'standby', identity: 'c1', reason: 'Standby', synced: lists, vips: [], nodes: [] };

async function tableOf(status: object): Promise<string> {
  await using controller = await startStub({ 'GET /api/v1/status': [200, status] });
  return (await run(['status', '--controller', controller.url])).out;
}

test('the table of a standby names the leader', async () => {
  match(await tableOf({ ...standby, leader: null }), /^standby: it knows no leader\n\nVIP /);
  const other = { identity: 'c2', address: '127.0.0.1:1' };
  match(await tableOf({ ...standby, leader: other }), /^standby: the leader is c2 at 127\.0\.0\.1:1\n\nVIP /);
  const own = { identity: 'c1', address: null };
  match(
    await tableOf({ ...standby, reason: null, leader: own }),
    /^standby: it holds the Lease, but did not renew it in time\n\nVIP /,
  );
  doesNotMatch(await tableOf({ ...standby, role: 'active', reason: null, leader: own }), /standby/);
});

test('the table names the lists of a cluster that were not read completely', async () => {
  const said = { role: 'active', reason: 'NotComplete', leader: { identity: 'c1', address: null } };
  const synced = { ...lists, nodes: false, virtualIPs: false };
  match(
    await tableOf({ ...standby, ...said, synced }),
    /^not synced: NotComplete: nodes, virtualIPs\n\nVIP /,
  );
});
