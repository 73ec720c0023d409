import { assert, assertEquals } from "@std/assert";
import { CLAUSES } from "./clauses.ts";
import { coverage, coverageLine } from "./coverage.ts";

const TESTS = new URL("../", import.meta.url);

/** The names of the tests in a file under tests/, as far as they are plain strings. */
async function testsOf(file: string): Promise<Set<string>> {
  const text = await Deno.readTextFile(new URL(file, TESTS));
  const named = text.matchAll(/^Deno\.test\(\s*("(?:[^"\\]|\\.)*")/gm);
  return new Set(Array.from(named, ([, name]) => JSON.parse(name!)));
}

Deno.test("Each clause is numbered once, by its section, and says what it asks", () => {
  const seen = new Set<string>();
  const last = new Map<string, number>();
  for (const { clause, section, level, says } of CLAUSES) {
    assert(!seen.has(clause), `${clause} is there twice`);
    seen.add(clause);
    assert(/^\d+(\.\d+)+$/.test(section), section);
    const place = (last.get(section) ?? 0) + 1;
    last.set(section, place);
    assertEquals(clause, `${section}-${place}`);
    assert(level === "MUST" || level === "SHOULD", clause);
    assert(says.length > 10 && says.length < 100, `${clause}: ${says}`);
  }
});

Deno.test("Each clause has exactly one verdict, and a reason or a test for it", () => {
  for (const clause of CLAUSES) {
    const { tests, notApplicable, notShown } = clause as Record<
      string,
      unknown
    >;
    const verdicts = [tests, notApplicable, notShown].filter((one) =>
      one !== undefined
    );
    assertEquals(verdicts.length, 1, clause.clause);
    const [reason] = verdicts as [string | string[]];
    assert(reason.length > 0 && reason[0]!.length > 0, clause.clause);
  }
});

Deno.test("Each test that a clause names exists", async () => {
  const files = new Map<string, Set<string>>();
  for (const clause of CLAUSES) {
    if (!("tests" in clause)) continue;
    for (const test of clause.tests) {
      const at = test.indexOf(": ");
      const file = test.slice(0, at);
      if (!files.has(file)) files.set(file, await testsOf(file));
      const found = files.get(file)!.has(test.slice(at + 2));
      assert(found, `${clause.clause}: there is no test ${test}`);
    }
  }
});

Deno.test("coverage() counts what applies, and what of it is shown", () => {
  const { shown, apply, notApplicable } = coverage();
  assertEquals(apply + notApplicable, CLAUSES.length);
  assert(shown > 0 && shown <= apply);
  Deno.stdout.writeSync(new TextEncoder().encode(`${coverageLine()}\n`));
});
