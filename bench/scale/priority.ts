// In a real cluster the control plane has machines of its own. Here it shares two processors with the
// controller, and would make it wait. So it gets only the time that the other programs leave.

import { readdirSync, readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** Lowers every thread of the programs that this process has started so far; new ones are lowered too. */
export function lowerPrograms(): void {
  const programs = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  for (const pid of programs.split(' ').filter(Boolean)) {
    for (const thread of readdirSync(`/proc/${pid}/task`))
      setPriority(Number(thread), constants.priority.PRIORITY_BELOW_NORMAL);
  }
}
