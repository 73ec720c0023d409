// Thread: any
// What the checks of a declaration share: its parts by name, and how a message says what is wrong.

/** Where the contract is explained. */
export const PAGE = "plugins/API.md";

/** By name, in the order in which they were written. */
export type Entries = [string, unknown][];

/** Null for what is not values by name; none where nothing was declared. */
export function entriesOf(value: unknown): Entries | null {
  if (value === undefined) return [];
  const isObject = typeof value === "object" && value !== null &&
    !Array.isArray(value);
  if (!isObject) return null;
  const entries = Object.entries(value);
  // A name that is a number does not keep its place among the others.
  return entries.some(([name]) => /^[0-9]+$/.test(name)) ? null : entries;
}

export function isInteger(
  value: unknown,
  from: number,
  to: number,
): value is number {
  return Number.isInteger(value) && Number(value) >= from &&
    Number(value) <= to;
}

/** A value as a message shows it; one from a plugin may be of any type and length. */
export function shown(value: unknown): string {
  return typeof value === "object" ? "that" : String(value).slice(0, 40);
}

/** One sentence for a contract that was broken, with the page that explains it. */
export function broken(problem: string, part: string): string {
  return `${problem} (see ${part} in ${PAGE})`;
}
