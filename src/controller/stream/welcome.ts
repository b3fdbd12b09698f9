// The welcome to an agent: who this controller is, and whether it rules. Pure.

import { features, type Welcome } from '../../protocol/messages.ts';
import { frameOf } from './frame.ts';

/** What a controller is at this moment. */
export type Self = Pick<Welcome, 'version' | 'cluster' | 'generation' | 'ruling'>;

export function welcomeFrame({ version, cluster, generation, ruling }: Self): Buffer {
  const welcome: Welcome = { type: 'welcome', version, features, cluster, generation, ruling };
  return frameOf(JSON.stringify(welcome));
}
