// Parses resources of the two tables: unknown JSON -> values that encoders may trust. Unknown fields are
// ignored.

import { type Address, type Prefix, parseAddress, parsePrefix } from '../state/address.ts';
import { parsePort, parseProtocol } from '../state/port.ts';
import { Delivery, parseServiceKey, type ServiceKey } from '../state/service.ts';
import type { Term } from '../state/term.ts';
import { comparePorts, type Placement, type VipPort, type VirtualIp } from '../state/virtual-ip.ts';
import { at, fail, fields, flag, list, oneOf, type Path, text, under, whole } from './shape.ts';

export function readAddress(value: unknown, path: Path): Address {
  return canonical(value, path, parseAddress);
}

export function readPrefix(value: unknown, path: Path): Prefix {
  return canonical(value, path, parsePrefix);
}

/** Reads a text that has one form only. */
function canonical<T extends string>(value: unknown, path: Path, parse: (given: string) => T): T {
  const given = text(value, path, 64);
  const parsed = at(path, () => parse(given));
  return parsed === given ? parsed : fail(path, `canonical text (${parsed})`, given);
}

export function readServiceKey(value: unknown, path: Path): ServiceKey {
  return at(path, () => parseServiceKey(value));
}

export function readTerm(value: unknown, path: Path): Term {
  const { generation, n } = fields(value, path);
  return {
    generation: whole(generation, under(path, '.generation')),
    n: whole(n, under(path, '.n')),
  };
}

export function readPlacement(value: unknown, path: Path): Placement {
  const { address, term } = fields(value, path);
  return {
    address: readAddress(address, under(path, '.address')),
    term: readTerm(term, under(path, '.term')),
  };
}

export function readVirtualIp(value: unknown, path: Path): VirtualIp {
  const { address, filtered, egress, ports } = fields(value, path);
  const vip = {
    address: readAddress(address, under(path, '.address')),
    filtered: flag(filtered, under(path, '.filtered')),
    egress: flag(egress, under(path, '.egress')),
    ports: list(ports, under(path, '.ports'), readVipPort),
  };
  for (let index = 1; index < vip.ports.length; index++) {
    const [before, after] = [vip.ports[index - 1], vip.ports[index]];
    if (before !== undefined && after !== undefined && comparePorts(before, after) >= 0) {
      return fail(`${path}.ports[${index}]`, 'ports in order of protocol and number, none twice', after);
    }
  }
  return vip;
}

function readVipPort(value: unknown, path: Path): VipPort {
  const { protocol, port, service, delivery, sources } = fields(value, path);
  return {
    protocol: at(under(path, '.protocol'), () => parseProtocol(protocol)),
    port: at(under(path, '.port'), () => parsePort(port)),
    service: readServiceKey(service, under(path, '.service')),
    delivery: oneOf(delivery, under(path, '.delivery'), Object.values(Delivery)),
    sources: sources === null ? null : list(sources, under(path, '.sources'), readPrefix),
  };
}
