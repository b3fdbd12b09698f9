// The audit log of the API server: who did what, and what was written to Leases.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const leases = [{ group: 'coordination.k8s.io', resources: ['leases'] }];

export const auditPolicy: object = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Request', resources: leases }, { level: 'Metadata' }],
};

export interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestURI: string;
  readonly requestReceivedTimestamp: string;
  /** When it was answered. */
  readonly stageTimestamp: string;
  readonly responseStatus?: { readonly code: number };
  /** What was written to a Lease. */
  readonly requestObject?: { readonly spec: { readonly holderIdentity?: string } };
}

export function readAudit(folder: string): AuditEvent[] {
  // The server begins another file when one has become large, and names the older ones by their time.
  const files = readdirSync(folder).filter((name) => /^audit(-.+)?\.log$/.test(name));
  return files
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line) as AuditEvent);
}
