// Thread: main
// How manifest errors show values, fields and likely meanings, always on one line.

import { levenshteinDistance } from "@std/text/levenshtein-distance";

const LONGEST_SHOWN = 200;

// The package carries no types.
const levenshtein: (a: string, b: string) => number = levenshteinDistance;

/** A JSON value for a message: strings quoted and cut, nothing that could steer a terminal. */
export function quote(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  const shown = value.length > LONGEST_SHOWN
    ? `${value.slice(0, LONGEST_SHOWN)}…`
    : value;
  return oneLine(JSON.stringify(shown));
}

/** Control, format and line-separating characters as \u escapes: the message stays one line. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** What the host said of a file, without the call and the path that Deno adds. */
export function hostReason(error: unknown): string {
  const message = error instanceof Error ? error.message : `${error}`;
  return oneLine(/^.*?\(os error [0-9]+\)/s.exec(message)?.[0] ?? message);
}

/** `devices[1].path` for ["devices", 1, "path"]; keys that are no identifiers are quoted. */
export function fieldPath(keys: readonly unknown[]): string {
  let path = "";
  for (const key of keys) {
    if (typeof key === "number") path += `[${key}]`;
    else if (/^[A-Za-z_$][\w$]*$/.test(String(key))) path += `.${key}`;
    else path += `[${quote(key)}]`;
  }
  return path.replace(/^\./, "");
}

/** The known word that `word` was probably meant to be, if one is near enough. */
export function nearest(
  word: string,
  known: readonly string[],
): string | undefined {
  if (word.length > LONGEST_SHOWN) return undefined;
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length * 0.4)) + 1;
  for (const candidate of known) {
    const away = typingMistakes(lower, candidate.toLowerCase());
    if (away < bestDistance) [best, bestDistance] = [candidate, away];
  }
  return best;
}

/** Letters that are wrong, missing or too many; two that changed places are one mistake. */
function typingMistakes(word: string, meant: string): number {
  const swapped = Array.from(
    { length: word.length - 1 },
    (_, i) => word.slice(0, i) + word[i + 1] + word[i] + word.slice(i + 2),
  );
  return Math.min(
    levenshtein(word, meant),
    ...swapped.map((each) => 1 + levenshtein(each, meant)),
  );
}
