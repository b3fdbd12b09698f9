// A kernel made of maps: a Transaction's bytes in, the kernel's bytes out. It knows nf_tables as far as the
// dialect uses it, and test/kernel/fake-kernel.test.ts holds it against the real one.
import type { DumpRequest, KernelObject, Transaction } from '../src/dialects/dialect.ts';
import { type Receipt, receiptOf } from '../src/netlink/ack.ts';
import { ask } from './fake-kernel/answers.ts';
import { apply } from './fake-kernel/apply.ts';
import { answer, concat, type FakeMessage, split } from './fake-kernel/bytes.ts';
import { copyState, type FakeState, Refusal, type Refuse, settle } from './fake-kernel/state.ts';
import { stateText } from './fake-kernel/text.ts';

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NLM_F_ACK = 4;
const EINVAL = 22;

export interface FakeKernel {
  /** What a socket answers to one send of `bytes` up to `split`, and a second of the rest. */
  exchange(bytes: Uint8Array, splitAt?: number): Uint8Array;
  /** Commits the steps in order and stops after the first that is refused, as host/kernel.ts does. */
  commit<O extends KernelObject>(transaction: Transaction<O>): Receipt<O>;
  dump(requests: readonly DumpRequest[]): Uint8Array[];
  /** Everything it holds, in words. */
  text(): string;
  /** How many batches had an effect. */
  readonly generation: number;
}

/**
 * `refuse` may answer an errno to any object or element, such as 23 (ENFILE) for a set that is to be full. It
 * is called in the order in which the kernel would look.
 */
export function fakeKernel(refuse: Refuse = () => undefined): FakeKernel {
  let state: FakeState = new Map();
  let generation = 1;

  const send = (bytes: Uint8Array): Uint8Array => {
    const messages = split(bytes);
    if (messages[0]?.type !== BATCH_BEGIN) return concat(messages.map((one) => ask(state, one, generation)));
    const { answers, next } = runBatch(state, messages, refuse);
    if (next !== undefined) {
      settle(next);
      state = next;
      generation++;
    }
    return concat(answers);
  };

  const kernel: FakeKernel = {
    exchange(bytes, splitAt = bytes.length) {
      return concat(
        [bytes.subarray(0, splitAt), bytes.subarray(splitAt)].filter(({ length }) => length > 0).map(send),
      );
    },
    commit(transaction) {
      for (const step of transaction.steps) {
        const receipt = receiptOf(step, kernel.exchange(step.bytes, step.split));
        if (receipt.length > 0) return receipt;
      }
      return [];
    },
    dump: (requests) => requests.map(({ bytes }) => kernel.exchange(bytes)),
    text: () => stateText((request) => kernel.exchange(request)),
    get generation() {
      return generation;
    },
  };
  return kernel;
}

/**
 * All or nothing: `next` is undefined where anything was wrong, or the end is missing. What follows the end
 * is lost.
 */
function runBatch(
  state: FakeState,
  messages: readonly FakeMessage[],
  refuse: Refuse,
): { answers: Uint8Array[]; next: FakeState | undefined } {
  const next = copyState(state);
  const answers: Uint8Array[] = [];
  const acknowledge = (one: FakeMessage): void => {
    if ((one.flags & NLM_F_ACK) !== 0) answers.push(answer(one, 0));
  };
  let good = true;
  for (const one of messages) {
    if (one.type === BATCH_END) {
      if (good) acknowledge(one);
      return { answers, next: good ? next : undefined };
    }
    try {
      if (one.type !== BATCH_BEGIN) apply(next, one, refuse);
      acknowledge(one);
    } catch (error) {
      const { errno, offset } = error instanceof Refusal ? error : new Refusal(EINVAL);
      if (!(error instanceof Refusal)) throw error;
      good = false;
      answers.push(answer(one, errno, offset));
    }
  }
  return { answers, next: undefined };
}
