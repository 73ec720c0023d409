// How many of the clauses that apply have a test: `deno run tests/virtio/coverage.ts` prints it, and what is missing.
import { CLAUSES } from "./clauses.ts";

export interface Coverage {
  readonly shown: number;
  readonly apply: number;
  readonly notApplicable: number;
}

export function coverage(): Coverage {
  const shown = CLAUSES.filter((clause) => "tests" in clause).length;
  const notApplicable =
    CLAUSES.filter((clause) => "notApplicable" in clause).length;
  return { shown, apply: CLAUSES.length - notApplicable, notApplicable };
}

/** "virtio clauses: N shown of M that apply". */
export function coverageLine(): string {
  const { shown, apply } = coverage();
  return `virtio clauses: ${shown} shown of ${apply} that apply`;
}

if (import.meta.main) {
  const missing = CLAUSES.flatMap((clause) =>
    "notShown" in clause
      ? [`${clause.clause} ${clause.says}: ${clause.notShown}`]
      : []
  );
  const text = [coverageLine(), ...missing].join("\n");
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
