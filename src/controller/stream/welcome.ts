// The welcome frame: the identity of this controller, and whether it rules. Pure.

import { features, type Welcome } from '../../protocol/messages.ts';
import { frameOf } from './frame.ts';

/** The members of a welcome that come from the controller's present state. */
export type Self = Pick<Welcome, 'version' | 'cluster' | 'generation' | 'ruling'>;

export function welcomeFrame({ version, cluster, generation, ruling }: Self): Buffer {
  const welcome: Welcome = { type: 'welcome', version, features, cluster, generation, ruling };
  return frameOf(JSON.stringify(welcome));
}
