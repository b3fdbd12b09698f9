// The process that holds the namespace of the client or the backend and does there what the demo tells it
// over IPC. It ends when the demo does.

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { Kernel } from '../../host/kernel.ts';
import { loadNative } from '../../host/native.ts';
import { familyOf } from '../../state/address.ts';
import { Listeners } from './listeners.ts';
import { configure, type Interface, setLoopbackUp } from './network.ts';
import type { Endpoint } from './plan.ts';
import { probeSctp } from './sctp.ts';

export type PeerOrder =
  | { readonly kind: 'configure'; readonly interface: Interface }
  | { readonly kind: 'serve'; readonly name: string; readonly endpoints: readonly Endpoint[] }
  /** `isAnswered` where somebody should answer. */
  | { readonly kind: 'probe'; readonly endpoint: Endpoint; readonly isAnswered: boolean };

/** What came back to a probe: the name of who answered, or null and why. */
export interface Sighting {
  readonly by: string | null;
  readonly words: string;
  readonly ms: number;
}

export interface PeerReply {
  readonly id: number;
  readonly sighting?: Sighting;
  readonly error?: string;
}

/** An answer takes 0.1 ms here, more on a busy machine. Silence is waited out, and short for who watches. */
const [answerMs, silenceMs] = [10_000, 400];

/** Serves orders until the demo goes away. */
export async function runPeer(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  using kernel = new Kernel(loadNative());
  const reply = (message: PeerReply) => process.send?.(message);
  process.on('message', ({ id, order }: { id: number; order: PeerOrder }) => {
    carryOut(kernel, order).then(
      (sighting) => reply(sighting === undefined ? { id } : { id, sighting }),
      (error: unknown) => reply({ id, error: String(error) }),
    );
  });
  process.on('disconnect', () => resolve(0));
  reply({ id: 0 });
  await promise;
  process.exit(0);
}

async function carryOut(kernel: Kernel, order: PeerOrder): Promise<Sighting | undefined> {
  switch (order.kind) {
    case 'configure':
      await setLoopbackUp(kernel);
      await configure(kernel, order.interface);
      return undefined;
    case 'serve':
      await new Listeners(order.name).ensure(order.endpoints);
      return undefined;
    case 'probe':
      return await probe(order.endpoint, order.isAnswered ? answerMs : silenceMs);
    default:
      return order satisfies never;
  }
}

async function probe(endpoint: Endpoint, timeoutMs: number): Promise<Sighting> {
  const started = performance.now();
  const { by, words } = await probes[endpoint.protocol](endpoint, timeoutMs);
  return { by, words, ms: performance.now() - started };
}

type Seen = Omit<Sighting, 'ms'>;

type Try = (endpoint: Endpoint, timeoutMs: number) => Promise<Seen>;

const probes: Readonly<Record<Endpoint['protocol'], Try>> = {
  TCP: probeTcp,
  UDP: probeUdp,
  SCTP: async (endpoint, timeoutMs) => {
    const by = await probeSctp(loadNative(), endpoint, timeoutMs);
    return by === undefined ? { by: null, words: 'no answer' } : { by, words: '' };
  },
};

function probeTcp({ address, port }: Endpoint, timeoutMs: number): Promise<Seen> {
  const { promise, resolve } = Promise.withResolvers<Seen>();
  const socket = connect({ host: address, port });
  let text = '';
  socket.setTimeout(timeoutMs, () => resolve({ by: null, words: 'no answer' }));
  socket.setEncoding('utf8');
  socket.on('data', (part) => {
    text += String(part);
  });
  socket.on('end', () => resolve({ by: text, words: '' }));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    resolve({ by: null, words: error.code ?? error.message });
  });
  return promise.finally(() => socket.destroy());
}

function probeUdp({ address, port }: Endpoint, timeoutMs: number): Promise<Seen> {
  const { promise, resolve } = Promise.withResolvers<Seen>();
  const socket = createSocket(familyOf(address) === 4 ? 'udp4' : 'udp6');
  const timer = setTimeout(() => resolve({ by: null, words: 'no answer' }), timeoutMs);
  socket.on('message', (text) => resolve({ by: text.toString(), words: '' }));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    resolve({ by: null, words: error.code ?? error.message });
  });
  // A connected socket hears what ICMP says, and takes no answer from another address.
  socket.connect(port, address, () => socket.send('probe'));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}
