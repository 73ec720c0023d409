// Thread: main
// What a host cannot confine, told once a process: every child would say the same.
import { log } from "../log.ts";

/** How landlock.ts ends a phrase about a grant; all others are about the kernel, and have their remedies in doctor.ts. */
const NO_FILE = "no such file";

const told = new Set<string>();

/** Tells of what has not been told yet; a phrase each. */
export function tellMissing(missing: readonly string[]): void {
  for (const line of linesOf(missing)) {
    if (told.has(line)) continue;
    told.add(line);
    log("warning", "sandbox", line, { missing });
  }
}

/** Lines for people: a grant that came to nothing each, and one for whatever the kernel lacks. */
export function linesOf(missing: readonly string[]): string[] {
  const grants = missing.filter((phrase) => phrase.endsWith(NO_FILE));
  return grants.length === missing.length
    ? grants
    : [...grants, "some walls need a newer kernel; see `paddock doctor`"];
}
