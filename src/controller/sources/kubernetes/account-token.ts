// Verifies a projected ServiceAccount token of an agent and finds the node of its Pod. Pure: the clock and
// the cluster's keys are parameters.

import { type KeyObject, verify } from 'node:crypto';
import { FieldError, type Mapping, mapping, textAt } from '../fields.ts';

/** The cluster's keys for ServiceAccount tokens, by key id. */
export type TokenKeys = ReadonlyMap<string, KeyObject>;

export interface TokenRules {
  readonly keys: TokenKeys;
  readonly audience: string;
  /** NAMESPACE/NAME of the account that agents have. */
  readonly account: string;
  readonly nowMs: number;
}

/** `unknownKey`: the cluster may have a new key since the keys were read. */
export type TokenAnswer =
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unknownKey' };

/** Most that the clocks of the cluster and of this machine may differ. */
const skewMs = 30_000;
/** Accepted signature algorithms; `none` and shared secrets are not among them. */
const hashes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    RS256: 'sha256',
    RS384: 'sha384',
    RS512: 'sha512',
    ES256: 'sha256',
    ES384: 'sha384',
    ES512: 'sha512',
  }),
);

/** The node that a token speaks for, or why it speaks for none. */
export function nodeOfToken(token: string, rules: TokenRules): TokenAnswer {
  try {
    const parts = token.split('.');
    const [head = '', body = '', signature = ''] = parts;
    if (parts.length !== 3) return refused('it is not a ServiceAccount token');
    const { alg, kid } = decoded(head, 'header');
    const hash = hashes.get(textAt(alg, 'alg'));
    if (hash === undefined) return refused(`its algorithm ${alg} is not accepted`);
    const key = rules.keys.get(textAt(kid, 'kid'));
    if (key === undefined) return { kind: 'unknownKey' };
    const isElliptic = String(alg).startsWith('ES');
    if ((key.asymmetricKeyType === 'ec') !== isElliptic) return refused('its key does not fit its algorithm');
    const signed = Buffer.from(`${head}.${body}`);
    const options = isElliptic ? { key, dsaEncoding: 'ieee-p1363' as const } : { key };
    const isTrue = verify(hash, signed, options, Buffer.from(signature, 'base64url'));
    return isTrue ? nodeOfClaims(decoded(body, 'claims'), rules) : refused('its signature is wrong');
  } catch (error) {
    if (error instanceof FieldError || error instanceof SyntaxError) return refused(error.message);
    throw error;
  }
}

function nodeOfClaims(claims: Mapping, { audience, account, nowMs }: TokenRules): TokenAnswer {
  const { aud, exp, nbf = 0, sub } = claims;
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.includes(audience)) return refused(`its audience is ${audiences}, not ${audience}`);
  if (typeof exp !== 'number' || exp * 1000 + skewMs < nowMs) return refused('it has expired');
  if (typeof nbf !== 'number' || nbf * 1000 - skewMs > nowMs) return refused('it is not valid yet');
  const [namespace, name] = account.split('/');
  if (sub !== `system:serviceaccount:${namespace}:${name}`)
    return refused(`it is of ${sub}, not of the agents`);
  const bound = mapping(claims['kubernetes.io'] ?? {}, 'kubernetes.io');
  if (bound['node'] === undefined) return refused('it names no node: bind it to a Pod');
  return { kind: 'node', node: textAt(mapping(bound['node'], 'node')['name'], 'node.name') };
}

function decoded(part: string, field: string): Mapping {
  return mapping(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')), field);
}

function refused(reason: string): TokenAnswer {
  return { kind: 'refused', reason };
}
