// The fields of a controller's or an agent's JSON that `vipward status` reads.

/** The printed fields; a server may send more. */
export interface ControllerStatus {
  readonly vips: readonly {
    readonly address: string;
    readonly node: string | null;
    readonly term: TermStatus | null;
    readonly state: string;
    readonly reason: string;
    readonly message?: string;
    readonly filtered?: boolean;
    readonly services: readonly {
      readonly key: string;
      readonly ports: readonly PortStatus[];
      readonly state: string;
      readonly reason: string;
      readonly message?: string;
    }[];
  }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly connected: boolean;
    readonly drained?: boolean;
    readonly late?: boolean;
    readonly firewall?: string | null;
    readonly seq: number | null;
    readonly lagMs: number | null;
    readonly lastClosed?: EndedStatus | null;
    readonly refusals?: readonly { readonly key: string; readonly code: string; readonly reason: string }[];
  }[];
  readonly refusedStreams?: readonly EndedStatus[];
  /** In a cluster: which lists have been read to their end. */
  readonly synced?: boolean | Readonly<Record<string, boolean>>;
  readonly role?: string;
  readonly identity?: string;
  readonly leader?: { readonly identity: string; readonly address: string | null } | null;
  readonly reason?: string | null;
  readonly refused?: readonly { readonly key: string; readonly reason: string; readonly message: string }[];
  readonly problems?: readonly {
    readonly file: string;
    readonly document: number | null;
    readonly service?: string | null;
    readonly message: string;
  }[];
  readonly ignored?: Readonly<Record<string, number>>;
  readonly massRemoval?: { readonly vips: number; readonly secondsLeft: number } | null;
  readonly generationRaised?: {
    readonly from: number;
    readonly to: number;
    readonly node: string;
    readonly secondsAgo: number;
  } | null;
}

/** The end of a stream. */
export interface EndedStatus {
  readonly node: string | null;
  readonly code: number;
  readonly reason: string;
  readonly secondsAgo: number;
}

export interface TermStatus {
  readonly generation: number;
  readonly n: number;
}

export interface PortStatus {
  readonly protocol: string;
  readonly port: number;
  readonly packets?: number | null;
}

export interface AgentStatus {
  readonly node: string;
  readonly firewall: string | null;
  readonly filter?: string;
  readonly inSync: boolean;
  readonly controllers?: readonly { readonly url: string; readonly state: string; readonly reason: string }[];
  readonly problems?: readonly string[];
  readonly vips: readonly {
    readonly address: string;
    readonly held: boolean;
    readonly term: TermStatus | null;
    readonly state: string;
    readonly reason: string;
    readonly message?: string;
    readonly filtered?: boolean;
    readonly ports: readonly PortStatus[];
    readonly dropped: number | null;
  }[];
}

/** The agent on this machine; its counters are shown next to the controller's VIPs. */
export type Beside = Pick<AgentStatus, 'node' | 'filter' | 'vips'>;
