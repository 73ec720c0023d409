// What a benchmark found, as a table that fits 80 columns, and the arithmetic behind it.

/** One comparison. All its samples come from the same run, taken in turns. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** The same by what it is compared with; null where there is nothing. */
  readonly reference: number | null;
  /** The highest ratio that is good enough; null where none is set. */
  readonly goal: number | null;
}

/** What a section of the benchmark gives: rows, or why there are none; and remarks. */
export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly skipped?: string;
  readonly notes?: readonly string[];
}

const WIDTHS = [35, 11, 11, 7, 6, 0];

/** The section as lines of at most 80 columns. */
export function formatSection(section: Section): string {
  const lines = [section.title];
  if (section.skipped !== undefined) {
    lines.push(`  skipped: ${section.skipped}`);
  }
  if (section.rows.length > 0) {
    const heads = ["", "value", "reference", "ratio", "goal", ""];
    lines.push(align(heads), ...section.rows.map((row) => align(cells(row))));
  }
  lines.push(...(section.notes ?? []).map((note) => `  ${note}`));
  return lines.join("\n");
}

/** The section for programs: rows with their ratio and whether the goal was reached. */
export function toJson(section: Section): unknown {
  const rows = section.rows.map((row) => ({
    ...row,
    ratio: ratio(row),
    reached: isReached(row),
  }));
  return { ...section, rows };
}

export function ratio({ value, reference }: Row): number | null {
  return reference === null ? null : value / reference;
}

/** Null where no goal is set. */
export function isReached(row: Row): boolean | null {
  const found = ratio(row);
  return found === null || row.goal === null ? null : found <= row.goal;
}

function cells(row: Row): string[] {
  const { name, unit, value, reference, goal } = row;
  const found = ratio(row);
  const reached = isReached(row);
  return [
    `  ${name}`,
    `${digits(value)} ${unit}`,
    reference === null ? "" : `${digits(reference)} ${unit}`,
    found === null ? "" : found.toFixed(2),
    goal === null ? "" : goal.toFixed(1),
    reached === null ? "" : reached ? " reached" : " not reached",
  ];
}

function align(texts: readonly string[]): string {
  return texts.map((text, i) => {
    const width = WIDTHS[i]!;
    return i === 0 ? text.padEnd(width) : text.padStart(width);
  }).join("").trimEnd();
}

function digits(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Measures each contender once a round, in turns, after one round that does not count. */
export async function inTurns<Name extends string, Sample>(
  rounds: number,
  contenders: Readonly<Record<Name, () => Promise<Sample>>>,
): Promise<Record<Name, Sample[]>> {
  const names = Object.keys(contenders) as Name[];
  const samples = Object.fromEntries(
    names.map((name) => [name, [] as Sample[]]),
  ) as Record<Name, Sample[]>;
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      const sample = await contenders[name]();
      if (round >= 0) samples[name].push(sample);
    }
  }
  return samples;
}
