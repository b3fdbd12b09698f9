// The fields of a controller's or an agent's JSON that `vipward status` reads.

import type { Shaped } from './shape.ts';

export const controllerStatus = {
  vips: [
    {
      address: 'text',
      'node|null': 'text',
      'term|null': { generation: 'number', n: 'number' },
      state: 'text',
      reason: 'text',
      'message?': 'text',
      'filtered?': 'flag',
      services: [
        {
          key: 'text',
          ports: [{ protocol: 'text', port: 'number' }],
          state: 'text',
          reason: 'text',
          'message?': 'text',
        },
      ],
    },
  ],
  nodes: [
    {
      name: 'text',
      connected: 'flag',
      'drained?': 'flag',
      'late?': 'flag',
      'firewall?|null': 'text',
      'seq|null': 'number',
      'lagMs|null': 'number',
      'lastClosed?|null': { 'node|null': 'text', code: 'number', reason: 'text', secondsAgo: 'number' },
      'refusals?': [{ key: 'text', code: 'text', reason: 'text' }],
    },
  ],
  'refusedStreams?': [{ 'node|null': 'text', code: 'number', reason: 'text', secondsAgo: 'number' }],
  // In a cluster: which lists have been read to their end; else true or false.
  'synced?': 'any',
  'role?': 'text',
  'identity?': 'text',
  'leader?|null': { identity: 'text', 'address|null': 'text' },
  'reason?|null': 'text',
  'refused?': [{ key: 'text', reason: 'text', message: 'text' }],
  'problems?': [{ file: 'text', 'document|null': 'number', 'service?|null': 'text', message: 'text' }],
  'ignored?': { '*': 'number' },
  'massRemoval?|null': { vips: 'number', secondsLeft: 'number' },
  'generationRaised?|null': { from: 'number', to: 'number', node: 'text', secondsAgo: 'number' },
} as const;
export type ControllerStatus = Shaped<typeof controllerStatus>;

export const agentStatus = {
  node: 'text',
  'firewall|null': 'text',
  'filter?': 'text',
  inSync: 'flag',
  'controllers?': [{ url: 'text', state: 'text', reason: 'text' }],
  'problems?': ['text'],
  vips: [
    {
      address: 'text',
      held: 'flag',
      'term|null': { generation: 'number', n: 'number' },
      state: 'text',
      reason: 'text',
      'message?': 'text',
      'filtered?': 'flag',
      ports: [{ protocol: 'text', port: 'number', 'packets?|null': 'number' }],
      'dropped|null': 'number',
    },
  ],
} as const;
export type AgentStatus = Shaped<typeof agentStatus>;

/** The end of a stream. */
export type EndedStatus = NonNullable<ControllerStatus['refusedStreams']>[number];
/** A port, with the packets that it took if they are counted. */
export type PortStatus = AgentStatus['vips'][number]['ports'][number];
export type TermStatus = NonNullable<AgentStatus['vips'][number]['term']>;

/** The agent on this machine; its counters are shown next to the controller's VIPs. */
export type Beside = Pick<AgentStatus, 'node' | 'filter' | 'vips'>;
