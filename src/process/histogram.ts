// A histogram that counts from the start of the process, in the text format of Prometheus.

export class Histogram {
  /** Upper bounds, in the unit of the observed values; a last bucket counts larger values. */
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let index = 0;
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? 0)) index++;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  text(name: string, help: string): string {
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    let total = 0;
    for (const [index, count] of this.#counts.entries()) {
      total += count;
      lines.push(`${name}_bucket{le="${this.#bounds[index] ?? '+Inf'}"} ${total}`);
    }
    return [...lines, `${name}_sum ${this.#sum}`, `${name}_count ${total}`, ''].join('\n');
  }
}
