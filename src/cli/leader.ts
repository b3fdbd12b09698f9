// Who rules, by the word of a controller that stands by: what a verb asks instead. Pure.

/** An answer as far as it says who rules. */
interface Said {
  readonly status: number;
  readonly json: unknown;
}

export interface Leader {
  readonly identity: string;
  /** By the scheme of the one who named it: a token that was sent through TLS is never sent without. */
  readonly origin: URL;
}

/** True for the answer of a controller that stands by: to a change a refusal, else a status without VIPs. */
export function standsBy({ status, json }: Said): boolean {
  return status === 421 || (status === 200 && fieldsOf(json)['role'] === 'standby');
}

/** The one who rules by an answer of `from`, or null where that is not known. */
export function leaderOf({ json }: Said, from: URL): Leader | null {
  const { identity, address } = fieldsOf(fieldsOf(json)['leader']);
  if (typeof identity !== 'string' || typeof address !== 'string') return null;
  const origin = URL.parse(`${from.protocol}//${address}`);
  if (origin === null || origin.href !== `${origin.origin}/`) return null;
  return { identity, origin };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
