// Kernel modules: whether a missing one can be loaded, and what to do about it.

import { type Machine, textAt } from './machine.ts';
import { type Check, fail, ok, warn } from './report.ts';

export interface Modules {
  /** The reason why the kernel loads no modules by itself; null if it does. */
  readonly noAutoload: string | null;
  /** Whether the kernel has a module, loaded or built in. */
  has(name: string): boolean;
  /** Whether this kernel was installed with a module; undefined if that cannot be seen from here. */
  comesWith(name: string): boolean | undefined;
}

const noModules = 'this kernel has no modules';
const loadByHand = 'name the modules to load at boot in /etc/modules-load.d/vipward.conf';

export function readModules(machine: Machine): Modules {
  const loaded = textAt(machine, '/proc/modules');
  const folder = `/lib/modules/${machine.release}`;
  const builtIn = textAt(machine, `${folder}/modules.builtin`) ?? '';
  const files = textAt(machine, `${folder}/modules.dep`);
  const isIn = (text: string, name: string): boolean =>
    new RegExp(`(^|/)${name.replaceAll('_', '[-_]')}\\.ko`, 'm').test(text);
  return {
    noAutoload: whyNoAutoload(machine, loaded !== undefined),
    has: (name) => new RegExp(`^${name} `, 'm').test(loaded ?? '') || isIn(builtIn, name),
    comesWith: (name) => (files === undefined ? undefined : isIn(files, name) || isIn(builtIn, name)),
  };
}

/** The step that provides some missing modules. */
export function remedy(modules: Modules, names: readonly string[], option: string): string {
  const absent = names.filter((name) => modules.comesWith(name) === false);
  if (absent.length > 0)
    return `this kernel comes without ${absent.join(', ')}: install one that has ${option}`;
  const command = names.map((name) => `modprobe ${name}`).join(' && ');
  return modules.noAutoload === null || !/modules_disabled/.test(modules.noAutoload)
    ? `${command}, and name them in /etc/modules-load.d/vipward.conf; or use a kernel with ${option}`
    : `name ${names.join(', ')} in /etc/modules-load.d/vipward.conf and boot again`;
}

/** Autoloading matters only while something is missing; then nothing else can load it. */
export function moduleCheck(modules: Modules, served: boolean): Check {
  const part = {
    name: 'module loading',
    how: 'modules_disabled and modprobe of /proc/sys/kernel, /proc/modules',
    option: 'CONFIG_MODULES',
  };
  if (modules.noAutoload === null) {
    return ok({ ...part, found: 'the kernel loads modules on demand, except ip_tables and ip6_tables' });
  }
  const found = `impossible: ${modules.noAutoload}`;
  if (!served) {
    const next = 'load the modules missing above before the agent starts';
    return fail({ ...part, found, next });
  }
  return modules.noAutoload === noModules
    ? ok({ ...part, found: `${found}, but the firewall is built in` })
    : warn({ ...part, found, next: loadByHand });
}

function whyNoAutoload(machine: Machine, hasModules: boolean): string | null {
  if (!hasModules) return noModules;
  if (textAt(machine, '/proc/sys/kernel/modules_disabled')?.trim() === '1')
    return 'kernel.modules_disabled is 1 until the next boot';
  const helper = textAt(machine, '/proc/sys/kernel/modprobe');
  return helper?.trim() === '' ? 'kernel.modprobe is empty' : null;
}
