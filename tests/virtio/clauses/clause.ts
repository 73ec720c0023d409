// What a clause of the table is, and the words in which the table is written.

export type Level = "MUST" | "SHOULD";

export type Verdict =
  /** Each "file: name of the test". */
  | { readonly tests: readonly string[] }
  | { readonly notApplicable: string }
  | { readonly notShown: string };

export type Clause = {
  /** The section and the clause's place in it, "2.7.5.1-1". */
  readonly clause: string;
  readonly section: string;
  readonly level: Level;
  readonly says: string;
} & Verdict;

type Row = Verdict & { readonly level: Level; readonly says: string };

/** Numbers a section's rows. */
export function section(number: string, ...rows: readonly Row[]): Clause[] {
  return rows.map((row, i) => ({
    clause: `${number}-${i + 1}`,
    section: number,
    ...row,
  }));
}

/** MUST, MUST NOT, SHALL. */
export const must = (says: string, verdict: Verdict): Row => ({
  level: "MUST",
  says,
  ...verdict,
});
/** SHOULD, SHOULD NOT. */
export const should = (says: string, verdict: Verdict): Row => ({
  level: "SHOULD",
  says,
  ...verdict,
});

/** The tests of a file under tests/, or of several. */
export function shown(file: string, ...names: readonly string[]) {
  return { tests: names.map((name) => `${file}: ${name}`) };
}
export function both(
  ...parts: readonly { readonly tests: readonly string[] }[]
) {
  return { tests: parts.flatMap(({ tests }) => tests) };
}
export const notApplicable = (reason: string) => ({ notApplicable: reason });
export const notShown = (reason: string) => ({ notShown: reason });
