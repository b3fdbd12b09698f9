// The addresses this host asks for names, which must never become a VIP.

import { readFileSync } from 'node:fs';
import { type Address, parseAddress } from '../state/address.ts';

/** From resolv.conf(5); without the file, or with lines that are no addresses, there are none. */
export function nameservers(path = '/etc/resolv.conf'): Address[] {
  try {
    return readFileSync(path, 'utf8').split('\n').flatMap(nameserver);
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
