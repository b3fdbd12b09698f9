// What an agent makes of a kernel that cannot be asked.
import { match, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { type FirewallOptions, NoFirewallError } from '../../src/agent/firewall/firewall.ts';
import { openFirewall } from '../../src/agent/firewall/open-firewall.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { recordedNative } from '../host/recorded-native.ts';

const options = { observe: false, counters: false, echo: true, owner: true };
const EPROTONOSUPPORT = 93;

test('without nfnetlink no firewall is there, and the agent names what would help', async () => {
  for (const wish of ['auto', 'nftables', 'xtables'] satisfies FirewallOptions['wish'][]) {
    using kernel = new Kernel(recordedNative(undefined, { 'socket 16 3 12': -EPROTONOSUPPORT }));
    await rejects(openFirewall(kernel, { ...options, wish }), (error: unknown) => {
      match(String(error instanceof NoFirewallError && error.message), /EPROTONOSUPPORT.*modprobe/);
      return true;
    });
  }
});
