// Thread: main
// What a host cannot confine, told once a process: every child would say the same.
import { log } from "../log.ts";

const told = new Set<string>();

/** Warns of what has not been told yet; a phrase each. */
export function tellMissing(missing: readonly string[]): void {
  const news = missing.filter((phrase) => !told.has(phrase));
  if (news.length === 0) return;
  for (const phrase of news) told.add(phrase);
  log("warning", "sandbox", `this host cannot confine all: ${news.join("; ")}`);
}
