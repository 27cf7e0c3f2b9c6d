/** Printing of benchmark results: medians, and a table that can be pasted into docs/performance.md. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

export function printTable(title: string, header: string[], rows: string[][]): void {
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  console.log(`\n## ${title}\n`);
  console.log([line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n"));
}
