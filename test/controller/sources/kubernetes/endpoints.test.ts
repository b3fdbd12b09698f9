// The nodes with an endpoint of a Service. Missing conditions have the meaning that Kubernetes gives them.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { cutSlice, Endpoints } from '../../../../src/controller/sources/kubernetes/endpoints.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';

const web = 'demo/web' as ServiceKey;

/** The nodes of a slice with one endpoint for each of these conditions, on nodes `0`, `1` and so on. */
function nodesOf(...conditions: readonly (object | undefined)[]): readonly string[] {
  const metadata = { name: 's', namespace: 'demo', labels: { 'kubernetes.io/service-name': 'web' } };
  const endpoints = conditions.map((known, index) => {
    return { nodeName: `${index}`, addresses: ['10.0.0.1'], ...(known && { conditions: known }) };
  });
  const all = new Endpoints();
  all.apply({
    set: new Map([['demo/s', cutSlice({ metadata, addressType: 'IPv4', endpoints })]]),
    remove: [],
  });
  return [...all.nodesOf(web, 4)].sort();
}

test('an endpoint is ready unless its condition says false', () => {
  deepEqual(nodesOf(undefined, {}, { ready: true }, { ready: null }, { ready: false }), ['0', '1', '2', '3']);
});

test('without a ready endpoint, terminating ones count unless serving is false', () => {
  const ending = { ready: false, terminating: true };
  deepEqual(nodesOf(ending, { ...ending, serving: true }, { ...ending, serving: null }), ['0', '1', '2']);
  deepEqual(nodesOf({ ...ending, serving: false }), []);
  deepEqual(nodesOf({ ready: false, serving: true }, { ready: false, terminating: false }), []);
  deepEqual(nodesOf(ending, { ready: true }), ['1']);
});

test('endpoints are those of all slices of the family, and of no other family', () => {
  const metadata = { namespace: 'demo', labels: { 'kubernetes.io/service-name': 'web' } };
  const slices = [['IPv4', 'a'] as const, ['IPv4', 'b'] as const, ['IPv6', 'c'] as const];
  const set = new Map(
    slices.map(([addressType, nodeName]) => [
      nodeName,
      cutSlice({ metadata, addressType, endpoints: [{ nodeName }] }),
    ]),
  );
  const all = new Endpoints();
  all.apply({ set, remove: [] });
  deepEqual([all.nodesOf(web, 4), all.nodesOf(web, 6)], [new Set(['a', 'b']), new Set(['c'])]);
});
