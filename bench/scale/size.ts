// How much is measured.

export interface ScaleSize {
  readonly services: number;
  /** Agents of the load generator, beside one real agent. */
  readonly agents: number;
  /** How often one Service is changed. */
  readonly rounds: number;
}
