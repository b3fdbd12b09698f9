// Sockets that a test watches, on one addon for the test file.
import assert from 'node:assert/strict';
import { loadNative, type Native, type Outcome } from '../../src/host/native.ts';
import { AF_INET, SOCK_DGRAM } from './kernel-bytes.ts';

export const native: Native = loadNative();

/** The events of a socket from now on. */
export function collect(fd: number): Outcome[] {
  const events: Outcome[] = [];
  assert.equal(
    native.watch(fd, (event) => events.push(event)),
    0,
  );
  return events;
}

export function end(...fds: readonly number[]): void {
  for (const fd of fds) {
    native.unwatch(fd);
    native.close(fd);
  }
}

/** A socket that is bound to a free port of loopback. */
export function openUdp(): { readonly fd: number; readonly address: Uint8Array } {
  const fd = native.socket(AF_INET, SOCK_DGRAM, 0);
  const address = new Uint8Array([AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  native.bind(fd, address);
  native.getsockname(fd, address);
  return { fd, address };
}
