// How long a test waits for what should come. An emulated machine is slower by a factor that
// VIPWARD_TEST_PATIENCE says; nothing is ever asserted about the time itself.

const factor = Number(process.env['VIPWARD_TEST_PATIENCE'] ?? 1);

/** Milliseconds that would do on this machine, as many as the one that runs the test may need. */
export function patient(ms: number): number {
  return ms * factor;
}
