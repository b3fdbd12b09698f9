// How a cluster's processes prove who they are: agents by Pod tokens, controllers by a certificate.

import type { Log } from '../process/log.ts';
import { shortReason } from '../protocol/write.ts';
import type { ControllerConfig } from './config.ts';
import type { Problem } from './service.ts';
import { AgentTokens } from './sources/kubernetes/agent-tokens.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';
import { SharedCertificate, type SharedCertificateInput } from './sources/kubernetes/shared-certificate.ts';
import { LimitedLog } from './stream/limited-log.ts';

export interface ClusterIdentity {
  /** Null if no tokens of the cluster are accepted. */
  readonly nodeOfToken: ((token: string) => string | null) | null;
  /** Null if the server uses certificate files, or no TLS. */
  readonly certificate: SharedCertificate | null;
  readonly problems: () => readonly Problem[];
  /** Keeps tokens and certificate up to date until the signal is aborted. */
  readonly run: () => Promise<unknown>;
}

type IdentityParts = Omit<SharedCertificateInput, 'random' | 'onProblem'> & { readonly log: Log };

export function makeIdentity(
  { keepsCertificate }: ControllerConfig,
  { agentAccount: account, agentAudience: audience }: KubernetesConfig,
  { log, ...parts }: IdentityParts,
): ClusterIdentity {
  const { client, confirm, signal } = parts;
  const refusals = new LimitedLog<{ readonly reason: string }>({
    say: (refused) => log.warn(refused, 'agentTokenRefused'),
    kindOf: () => 'token',
    ofAnyKind: (refused) => refused,
  });
  const onRefused = (reason: string) => refusals.add({ reason: shortReason(reason) });
  const onProblem = (reason: string | null) => {
    log.warn({ reason }, reason === null ? 'certificateKept' : 'certificateNotKept');
  };
  const random = Math.random;
  const tokens =
    account === null
      ? null
      : new AgentTokens({ client, confirm, audience, account, signal, random, onRefused });
  const certificate = keepsCertificate ? new SharedCertificate({ ...parts, random, onProblem }) : null;
  return {
    nodeOfToken: tokens?.nodeOf ?? null,
    certificate,
    problems: () => [...(tokens?.problems() ?? []), ...(certificate?.problems() ?? [])],
    run: () => Promise.all([tokens?.run(), certificate?.run()]),
  };
}
