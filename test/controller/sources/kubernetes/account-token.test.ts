// Tokens of ServiceAccounts: the node that they identify, and all the reasons to refuse one.
import { deepEqual, equal, match } from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeOfToken } from '../../../../src/controller/sources/kubernetes/account-token.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys = new Map([
  ['rsa', rsa.publicKey],
  ['ec', ec.publicKey],
]);
const nowMs = 1_800_000_000_000;
const nowS = nowMs / 1000;
const rules = { keys, audience: 'vipward', account: 'vipward-system/vipward-agent', nowMs };

const claims = {
  aud: ['vipward'],
  exp: nowS + 600,
  nbf: nowS - 600,
  iss: 'https://kubernetes.default',
  sub: 'system:serviceaccount:vipward-system:vipward-agent',
  'kubernetes.io': { namespace: 'vipward-system', node: { name: 'node1', uid: 'u' } },
};

function token(body: object, head: object, key: KeyObject): string {
  const text = [head, body].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

const ofRsa = (body: object) => token(body, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey);
const why = (text: string) => {
  const answer = nodeOfToken(text, rules);
  return answer.kind === 'refused' ? answer.reason : answer.kind;
};

test('a token signed by RSA or EC identifies the node of its Pod', () => {
  deepEqual(nodeOfToken(ofRsa(claims), rules), { kind: 'node', node: 'node1' });
  const ofEc = token(claims, { alg: 'ES256', kid: 'ec' }, ec.privateKey);
  deepEqual(nodeOfToken(ofEc, rules), { kind: 'node', node: 'node1' });
});

test('a token with a wrong audience, time, account or node is refused with the reason', () => {
  const refused: readonly [object, RegExp][] = [
    [{ ...claims, aud: ['https://kubernetes.default'] }, /audience is https:/],
    [{ ...claims, exp: nowS - 60 }, /it has expired/],
    [{ ...claims, exp: 'never' }, /it has expired/],
    [{ ...claims, nbf: nowS + 60 }, /not valid yet/],
    [{ ...claims, sub: 'system:serviceaccount:default:vipward-agent' }, /not of the agents/],
    [{ ...claims, 'kubernetes.io': {} }, /names no node/],
    [{ ...claims, 'kubernetes.io': { node: { name: 7 } } }, /node\.name/],
  ];
  for (const [body, reason] of refused) match(why(ofRsa(body)), reason);
});

test('a token without a valid signature by the named key is refused', () => {
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
  match(why(token(claims, { alg: 'RS256', kid: 'rsa' }, other.privateKey)), /signature is wrong/);
  match(
    why(token(claims, { alg: 'none', kid: 'rsa' }, rsa.privateKey)),
    /its algorithm none is not accepted/,
  );
  match(
    why(token(claims, { alg: 'HS256', kid: 'rsa' }, rsa.privateKey)),
    /its algorithm HS256 is not accepted/,
  );
  match(why(token(claims, { alg: 'ES256', kid: 'rsa' }, ec.privateKey)), /key does not fit its algorithm/);
  equal(why(token(claims, { alg: 'RS256', kid: 'new' }, other.privateKey)), 'unknownKey');
});

test('an algorithm named like a property of every object is refused', () => {
  for (const alg of [...Object.getOwnPropertyNames(Object.prototype), 'rs256', ''])
    equal(nodeOfToken(token(claims, { alg, kid: 'rsa' }, rsa.privateKey), rules).kind, 'refused', alg);
});

test('arbitrary text is refused as a token', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (a, b, c) => {
      for (const text of [a, `${a}.${b}`, `${a}.${b}.${c}`]) equal(nodeOfToken(text, rules).kind, 'refused');
    }),
  );
});
