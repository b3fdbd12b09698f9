// Finds the leader in the answer of a standby controller, for a verb to ask instead. Pure.

/** The parts of an answer that name the leader. */
interface Said {
  readonly status: number;
  readonly json: unknown;
}

export interface Leader {
  readonly identity: string;
  /** Has the scheme of the naming server: a token that was sent over TLS is never sent without it. */
  readonly origin: URL;
}

/** Whether a standby controller answered: it refuses a change (421), and its status says so. */
export function standsBy({ status, json }: Said): boolean {
  return status === 421 || (status === 200 && fieldsOf(json)['role'] === 'standby');
}

/** The leader named in an answer of `from`; null if it names none. */
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
