// A VirtualIP whose name is not that of its address records nothing: it is reported with the remedy.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { StrangeRecords } from '../../../../src/controller/sources/kubernetes/strange-records.ts';
import { cutVirtualIp, virtualIpsPath } from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';

const object = (address: string) => cutVirtualIp({ metadata: { uid: 'u' }, spec: { address, services: [] } });

test('a VirtualIP named differently from its address is a problem until it is removed or corrected', () => {
  const records = new StrangeRecords();
  const told = () => records.problems().map(({ file, message }) => [file, message]);
  const good = new Map([
    ['10.77.0.100', object('10.77.0.100')],
    ['fd77-0-0-0-0-0-0-100', object('fd77::100')],
  ]);
  equal(records.changed({ set: good, remove: [] }), false);
  deepEqual(told(), []);
  const wrong = new Map([
    ['10.77.0.101', object('10.77.0.102')],
    ['10.77.0.103', object('web')],
  ]);
  equal(records.changed({ set: wrong, remove: [] }), true);
  equal(records.changed({ set: wrong, remove: [] }), false);
  const next = (name: string) => `so it is ignored: remove it by \`kubectl delete vip ${name}\``;
  deepEqual(told(), [
    [
      `${virtualIpsPath}/10.77.0.101`,
      `its name does not match its address 10.77.0.102, ${next('10.77.0.101')}`,
    ],
    [`${virtualIpsPath}/10.77.0.103`, `it has no address, ${next('10.77.0.103')}`],
  ]);
  equal(records.changed({ set: new Map(), remove: ['10.77.0.103', '10.77.0.100'] }), true);
  equal(records.changed({ set: new Map([['10.77.0.101', object('10.77.0.101')]]), remove: [] }), true);
  deepEqual(told(), []);
});

test('of 500 VirtualIPs that record no address of their name ten are named, and the others counted', () => {
  const records = new StrangeRecords();
  const names = Array.from({ length: 500 }, (_, index) => `mine-${index}`);
  records.changed({ set: new Map(names.map((name) => [name, null])), remove: [] });
  const problems = records.problems();
  deepEqual(
    [problems.length, problems.at(-1)?.message],
    [11, '490 more whose address does not match their name'],
  );
});
