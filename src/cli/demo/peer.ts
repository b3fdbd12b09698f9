// The process that holds the namespace of the client or the backend, and executes the demo's orders there,
// received over IPC. It ends with the demo.

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
  /** `isAnswered` is true if a listener should answer. */
  | { readonly kind: 'probe'; readonly endpoint: Endpoint; readonly isAnswered: boolean };

/** The result of a probe: the name of the listener that answered, or null and the reason. */
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

/** An answer takes 0.1 ms, more on a busy machine. An expected silence is kept short for the user. */
const [answerMs, silenceMs] = [10_000, 400];

/** Executes orders until the demo ends. */
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
  // A connected socket gets ICMP errors, and accepts no answer from another address.
  socket.connect(port, address, () => socket.send('probe'));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}
