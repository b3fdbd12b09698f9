// Checks agents' tokens by the cluster's keys. It keeps the keys in memory, so that agents can reconnect
// while the API server is away.

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Problem, problemAt } from '../../service.ts';
import { mapping, sequence, textAt } from '../fields.ts';
import { nodeOfToken, type TokenKeys } from './account-token.ts';
import { backoffMs } from './backoff.ts';
import type { ApiClient } from './client.ts';

export interface AgentTokensInput {
  readonly client: ApiClient;
  /** Rejects if the API server belongs to another cluster than before: its keys do not count. */
  readonly confirm: () => Promise<void>;
  readonly audience: string;
  /** NAMESPACE/NAME. */
  readonly account: string;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly onRefused: (reason: string) => void;
}

const keysPath = '/openid/v1/jwks';
/** Keys are read again every renewMs, and when a token names an unknown key, but at most every soonestMs. */
const renewMs = 300_000;
const soonestMs = 5000;

export class AgentTokens {
  readonly #input: AgentTokensInput;
  #keys: TokenKeys = new Map();
  #readMs = Number.NEGATIVE_INFINITY;
  #wake = new AbortController();
  #problem: string | null = null;

  constructor(input: AgentTokensInput) {
    this.#input = input;
  }

  /** Why the cluster's keys could not be read. */
  problems(): Problem[] {
    return problemAt(keysPath, this.#problem);
  }

  /** The node that a token speaks for, or null. */
  readonly nodeOf = (token: string): string | null => {
    const { audience, account, onRefused } = this.#input;
    const answer = nodeOfToken(token, { keys: this.#keys, audience, account, nowMs: Date.now() });
    if (answer.kind === 'node') return answer.node;
    if (answer.kind === 'unknownKey') this.#readSoon();
    onRefused(answer.kind === 'refused' ? answer.reason : 'its key is not a key of the cluster');
    return null;
  };

  /** Keeps the keys up to date until the signal is aborted. */
  async run(): Promise<void> {
    const { signal, random } = this.#input;
    let failures = 0;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        this.#keys = await this.#read();
        failures = 0;
        this.#problem = null;
      } catch (error) {
        failures++;
        this.#problem = (error as Error).message;
      }
      const waitMs = failures === 0 ? renewMs : backoffMs(failures, random());
      const waiting = AbortSignal.any([signal, this.#wake.signal]);
      await sleep(waitMs, undefined, { signal: waiting }).catch(() => undefined);
    }
  }

  #readSoon(): void {
    if (performance.now() - this.#readMs > soonestMs) this.#wake.abort();
  }

  async #read(): Promise<TokenKeys> {
    const { client, confirm, signal } = this.#input;
    this.#readMs = performance.now();
    await confirm();
    const found = mapping(
      await client.json({ path: keysPath, accept: 'application/jwk-set+json', signal }),
      'jwks',
    );
    const keys = new Map<string, KeyObject>();
    for (const item of sequence(found['keys'], 'keys')) {
      const key = mapping(item, 'keys[]');
      const id = textAt(key['kid'], 'keys[].kid');
      keys.set(id, createPublicKey({ key: key as JsonWebKey, format: 'jwk' }));
    }
    return keys;
  }
}
