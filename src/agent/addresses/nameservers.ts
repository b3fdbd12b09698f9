// The addresses this host asks for names, which must never become a VIP.

import { readFileSync } from 'node:fs';
import { type Address, parseAddress } from '../../state/address.ts';

/**
 * What programs here ask; where that is a resolver of the host itself (127.0.0.53, 127.0.0.1), whom that one
 * asks is in a file of its own (systemd-resolved.service(8), NetworkManager.conf(5)).
 */
const usualFiles: readonly string[] = [
  '/etc/resolv.conf',
  '/run/systemd/resolve/resolv.conf',
  '/run/NetworkManager/no-stub-resolv.conf',
];

/** From files as resolv.conf(5) has them: what is not there has none, nor has a line without an address. */
export function nameservers(files: readonly string[] = usualFiles): Address[] {
  return [...new Set(files.flatMap(nameserversIn))];
}

function nameserversIn(file: string): Address[] {
  try {
    return readFileSync(file, 'utf8').split('\n').flatMap(nameserver);
  } catch {
    return [];
  }
}

function nameserver(line: string): Address[] {
  const text = /^nameserver\s+(\S+)/.exec(line)?.[1];
  try {
    return text === undefined ? [] : [parseAddress(text)];
  } catch {
    return [];
  }
}
