// Reads the name servers of this host, whose addresses must never become a VIP.

import { readFileSync } from 'node:fs';
import { type Address, parseAddress } from '../../state/address.ts';

/**
 * If /etc/resolv.conf names a resolver on the host itself (127.0.0.53, 127.0.0.1), the upstream servers of
 * that resolver are in another file (systemd-resolved.service(8), NetworkManager.conf(5)).
 */
const usualFiles: readonly string[] = [
  '/etc/resolv.conf',
  '/run/systemd/resolve/resolv.conf',
  '/run/NetworkManager/no-stub-resolv.conf',
];

/** Reads files in the format of resolv.conf(5). Skips missing files and lines without a valid address. */
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
