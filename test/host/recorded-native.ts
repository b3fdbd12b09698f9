// A Native that opens nothing: it returns the answers of the test and records all calls.
import type { Native, Operation, Outcome } from '../../src/host/native.ts';

export interface Submitted {
  readonly operation: Operation;
  readonly fd: number;
  readonly bytes: Uint8Array;
  readonly split: number;
  readonly token: number;
  readonly waitMicros: number;
}

export interface RecordedNative extends Native {
  /** Every call but submit, in words. */
  readonly calls: string[];
  readonly submitted: Submitted[];
  /** Gives a late result to the callback of onResult. */
  late(token: number, outcome: Outcome): void;
  /** Gives a datagram, or a negative errno, to the watcher of a descriptor. */
  deliver(fd: number, outcome: Outcome): void;
}

/** `answers` is what each submit yields; a call of `failing` yields its negative errno. */
export function recordedNative(
  answers: (submitted: Submitted, index: number) => Outcome | undefined = () => new Uint8Array(),
  failing: Readonly<Record<string, number>> = {},
): RecordedNative {
  const calls: string[] = [];
  const submitted: Submitted[] = [];
  const watchers = new Map<number, (outcome: Outcome) => void>();
  let onResult: (token: number, outcome: Outcome) => void = () => {};
  let lastFd = 99;
  const say = (call: string, result = 0): number => {
    calls.push(call);
    const key = Object.keys(failing).find((prefix) => call.startsWith(prefix));
    return key === undefined ? result : (failing[key] ?? result);
  };
  return {
    calls,
    submitted,
    socket: (domain, type, protocol) => say(`socket ${domain} ${type} ${protocol}`, ++lastFd),
    connect: (fd, address) => say(`connect ${fd} ${Buffer.from(address).toString('hex')}`),
    bind: (fd, address) => say(`bind ${fd} ${Buffer.from(address).toString('hex')}`),
    getsockname(fd, out) {
      out[4] = 42;
      return say(`getsockname ${fd}`, out.length);
    },
    setsockopt: (fd, level, name, value) =>
      say(`setsockopt ${fd} ${level} ${name} ${new DataView(value.buffer).getInt32(0, true)}`),
    attachFilter: (fd, program) => say(`attachFilter ${fd} ${Buffer.from(program).toString('hex')}`),
    getsockopt: (fd, level, name) => say(`getsockopt ${fd} ${level} ${name}`),
    send: (fd) => say(`send ${fd}`),
    receive: (fd) => say(`receive ${fd}`),
    exit: (code) => say(`exit ${code}`),
    close: (fd) => say(`close ${fd}`),
    watch(fd, callback) {
      watchers.set(fd, callback);
      return say(`watch ${fd}`);
    },
    unwatch(fd) {
      watchers.delete(fd);
      return say(`unwatch ${fd}`);
    },
    submit(...[operation, fd, bytes, split, token, waitMicros, reply]) {
      const one = { operation, fd, bytes: bytes.slice(), split, token, waitMicros };
      submitted.push(one);
      if (operation === 1) say(`submit close ${fd}`);
      const answer = answers(one, submitted.length - 1);
      if (!(answer instanceof Uint8Array) || reply === undefined || answer.length > reply.length)
        return answer;
      reply.set(answer);
      return answer.length;
    },
    prepare: () => say('prepare'),
    onResult(callback) {
      onResult = callback;
      return 0;
    },
    late: (token, outcome) => onResult(token, outcome),
    deliver: (fd, outcome) => watchers.get(fd)?.(outcome),
  };
}
