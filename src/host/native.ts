// The only loader of the addon (native/*.c) and its types: generic system calls on numbers and bytes.
// Every call answers a result >= 0 or a negative errno; none throws. Errors get words and classes above.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What `submit` can run on the writer thread; mirrors `enum operation` in native/threads.h. */
export const Operation = {
  /**
   * `bytes[0..split)` in one send, the rest in a second, then every reply until the socket is empty. With
   * `split` < 0 it is -split, and the second send only follows if the first drew no reply. The
   * result is one Uint8Array: the datagrams one after the other, each padded to 4 bytes. -ENOBUFS: replies
   * were lost; -EMSGSIZE: one was longer than 128 KiB.
   */
  exchange: 0,
  /** close(fd), which on a netlink socket may wait for the subsystem's mutex. */
  close: 1,
  /**
   * setsockopt: `bytes` is int32 level, int32 name, value. With `split` > 0 the value holds one pointer:
   * the 8 bytes at offset `split` of the value say where the value ends; the memory after that end is what
   * the pointer points to, and is given back as the result after the call.
   */
  setsockopt: 2,
  /** getsockopt: `bytes` is int32 level, int32 name, value (in and out). The result is the value. */
  getsockopt: 3,
  /** flock(fd, split). Without LOCK_NB it holds up everything submitted after it. */
  flock: 4,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** What an operation or a watched socket yields: bytes, or a number >= 0, or a negative errno. */
export type Outcome = Uint8Array | number;

/** The addon's functions. Arguments of a wrong type answer -EINVAL (-22). */
export interface Native {
  /** socket(2), always with SOCK_CLOEXEC. The descriptor or -errno. */
  socket(domain: number, type: number, protocol: number): number;
  /** bind(2) to a struct sockaddr in bytes. */
  bind(fd: number, address: Uint8Array): number;
  /** connect(2) to a struct sockaddr in bytes: for sockets that do not block. */
  connect(fd: number, address: Uint8Array): number;
  /** getsockname(2): the address's length. */
  getsockname(fd: number, addressOut: Uint8Array): number;
  /** setsockopt(2) on the JavaScript thread: for options that cannot block. */
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** setsockopt(2) of SO_ATTACH_FILTER: a classic BPF program, as an array of struct sock_filter in bytes. */
  attachFilter(fd: number, program: Uint8Array): number;
  /** getsockopt(2): the value's length. */
  getsockopt(fd: number, level: number, name: number, valueOut: Uint8Array): number;
  /** sendto(2) with MSG_NOSIGNAL: the number of bytes sent. */
  send(fd: number, bytes: Uint8Array, flags: number, address?: Uint8Array): number;
  /** recv(2): the number of bytes received; with MSG_TRUNC in `flags` the datagram's real length. */
  receive(fd: number, bytesOut: Uint8Array, flags: number): number;
  /** _exit(2): for a process of which a thread hangs in the kernel, for which process.exit() would wait. */
  exit(code: number): number;
  /** close(2) on the JavaScript thread: not for a netlink socket that a subsystem may hold. */
  close(fd: number): number;
  /**
   * Calls back with each datagram, or with -errno (-ENOBUFS: some were lost, listening goes on). After
   * -EBADF, -ENOTSOCK, -EPIPE, -EIO, or a fifth error among 64 results that were there at once, the socket is
   * dead and stays silent until `unwatch`. A watch does not keep the process alive. At most 64; a second
   * watch of one descriptor is -EEXIST. Ask no dumps on a watched socket.
   */
  watch(fd: number, callback: (result: Outcome) => void): number;
  /**
   * Ends a watch; once it returns nothing more is delivered and the descriptor may be closed. -ENOENT if
   * none.
   */
  unwatch(fd: number): number;
  /**
   * Hands one operation to the writer thread and waits at most `waitMicros` for it. Undefined: it goes on,
   * and its result comes to the `onResult` callback with `token` (int32); until then the process stays
   * alive. The bytes are copied. Operations run one at a time in the order submitted. -EXFULL (-54): 1,024
   * are waiting already.
   */
  submit(
    operation: Operation,
    fd: number,
    bytes: Uint8Array,
    split: number,
    token: number,
    waitMicros: number,
  ): Outcome | undefined;
  /**
   * Says that a `submit` follows at once: the writer thread is woken and for 200 us does not go back to
   * sleep. Does nothing where this process has one processor only.
   */
  prepare(): number;
  /** Sets the one callback for results that did not come in time; without it they are dropped. */
  onResult(callback: (token: number, result: Outcome) => void): number;
}

/** Loads the addon, once per thread. Throws, naming the command that builds it, where it is missing. */
export function loadNative(): Native {
  // As deep as the files that it is bundled into.
  const path = fileURLToPath(new URL('../../build/syscalls.node', import.meta.url));
  if (!existsSync(path)) {
    throw new Error(`native addon: ${path} is missing; run "sh native/build.sh" in the checkout`);
  }
  return createRequire(import.meta.url)(path) as Native;
}
