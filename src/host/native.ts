// The only loader of the addon (native/*.c), and its types: generic system calls on numbers and bytes. Every
// call returns a result >= 0 or a negative errno and never throws. Callers turn errnos into errors.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What `submit` can run on the writer thread; mirrors `enum operation` in native/threads.h. */
export const Operation = {
  /**
   * Sends `bytes[0..split)` and then the rest, and reads every reply until the socket is empty. With `split`
   * < 0 the first part ends at -split, and the second is sent only if the first drew no reply. The result is
   * one Uint8Array: the datagrams in order, each padded to 4 bytes. -ENOBUFS: replies were lost; -EMSGSIZE:
   * one was longer than 128 KiB.
   */
  exchange: 0,
  /** close(fd), which on a netlink socket may wait for the subsystem's mutex. */
  close: 1,
  /**
   * setsockopt: `bytes` is int32 level, int32 name, value. With `split` > 0 the value holds one pointer: the
   * 8 bytes at offset `split` of the value are the offset at which the value ends. The pointer is set to the
   * memory behind that end, which is the result after the call.
   */
  setsockopt: 2,
  /** getsockopt: `bytes` is int32 level, int32 name, value (in and out). The result is the value. */
  getsockopt: 3,
  /** flock(fd, split). Without LOCK_NB it blocks every operation submitted after it. */
  flock: 4,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** The result of an operation or a watched socket: bytes, a number >= 0, or a negative errno. */
export type Outcome = Uint8Array | number;

/** The addon's functions. Arguments of a wrong type return -EINVAL (-22). */
export interface Native {
  /** socket(2), always with SOCK_CLOEXEC. The descriptor or -errno. */
  socket(domain: number, type: number, protocol: number): number;
  /** bind(2) to a struct sockaddr in bytes. */
  bind(fd: number, address: Uint8Array): number;
  /** connect(2) to a struct sockaddr in bytes: only for non-blocking sockets. */
  connect(fd: number, address: Uint8Array): number;
  /** getsockname(2): the address's length. */
  getsockname(fd: number, addressOut: Uint8Array): number;
  /** setsockopt(2) on the JavaScript thread: only for options that cannot block. */
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** setsockopt(2) of SO_ATTACH_FILTER: a classic BPF program, as an array of struct sock_filter in bytes. */
  attachFilter(fd: number, program: Uint8Array): number;
  /** getsockopt(2): the value's length. */
  getsockopt(fd: number, level: number, name: number, valueOut: Uint8Array): number;
  /** sendto(2) with MSG_NOSIGNAL: the number of bytes sent. */
  send(fd: number, bytes: Uint8Array, flags: number, address?: Uint8Array): number;
  /** recv(2): the number of bytes received; with MSG_TRUNC in `flags` the datagram's real length. */
  receive(fd: number, bytesOut: Uint8Array, flags: number): number;
  /** _exit(2): for a process with a thread that hangs in the kernel, on which process.exit() would wait. */
  exit(code: number): number;
  /** close(2) on the JavaScript thread: not for a netlink socket, which may wait for a subsystem's mutex. */
  close(fd: number): number;
  /**
   * Calls back with each datagram, or with -errno (-ENOBUFS: datagrams were lost, and the watch goes on).
   * After -EBADF, -ENOTSOCK, -EPIPE, -EIO, or a fifth error among 64 results read at once, the socket is dead
   * and the watch stays silent until `unwatch`. A watch does not keep the process alive. At most 64 watches;
   * a second watch of one descriptor returns -EEXIST. Request no dumps on a watched socket.
   */
  watch(fd: number, callback: (result: Outcome) => void): number;
  /**
   * Ends a watch. After it returns nothing more is delivered and the descriptor may be closed. -ENOENT
   * without a watch.
   */
  unwatch(fd: number): number;
  /**
   * Hands one operation to the writer thread and waits at most `waitMicros` for it. Undefined: the operation
   * goes on, its result comes to the `onResult` callback with `token` (int32), and until then the process
   * stays alive. The bytes are copied. Operations run one at a time in the order submitted. -EXFULL (-54):
   * 1,024 operations are waiting already. With `reply`, a result in time that fits is written there, and
   * its length is returned instead: no bytes are made for it.
   */
  submit(
    operation: Operation,
    fd: number,
    bytes: Uint8Array,
    split: number,
    token: number,
    waitMicros: number,
    reply?: Uint8Array,
  ): Outcome | undefined;
  /**
   * Announces a `submit` that follows at once: wakes the writer thread and keeps it awake for 200 us. Does
   * nothing if this process has only one processor.
   */
  prepare(): number;
  /** Sets the only callback for late results; without it they are dropped. */
  onResult(callback: (token: number, result: Outcome) => void): number;
}

/** Loads the addon, once per thread. If it is missing, throws an error that names the build command. */
export function loadNative(): Native {
  // The bundled files lie as deep as this file.
  const path = fileURLToPath(new URL('../../build/syscalls.node', import.meta.url));
  if (!existsSync(path)) {
    throw new Error(`native addon: ${path} is missing; run "sh native/build.sh" in the checkout`);
  }
  return createRequire(import.meta.url)(path) as Native;
}
