// Text tables for people.

/** Rows under a head, each column as wide as its widest cell; the last column is not padded. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => {
    return all.reduce((most, row) => Math.max(most, (row[column] ?? '').length), 0);
  });
  const line = (row: readonly string[]) => {
    return row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  };
  return `${all.map(line).join('\n')}\n`;
}

/** Makes a server's text safe for a terminal. */
export function plain(value: unknown): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: C0, DEL and C1, which terminals obey too.
  return String(value ?? '-').replace(/[\u0000-\u001f\u007f-\u009f]/g, '?') || '-';
}
