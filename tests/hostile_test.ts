import { assert } from "@std/assert";
import { LINES } from "./hostile.ts";

/** The strings of a file of tests that may be names, or parts of them in a table; without its imports. */
function testNames(text: string): string {
  const code = text.replace(/^import[^;]*;/gm, "").replace(/\/\/.*$/gm, "");
  return [...code.matchAll(/"[^"\n]*"|`[^`\n]*`/g)].join("\n");
}

Deno.test("Each thing that may be tried has its tests, which exist, or a reason", async () => {
  const texts = new Map<string, string>();
  for (const line of LINES) {
    if ("notApplicable" in line) {
      assert(line.notApplicable.length > 10, line.tries);
      continue;
    }
    assert(line.shown.length > 0, line.tries);
    for (const [file, words] of line.shown) {
      if (!texts.has(file)) {
        const url = new URL(file, import.meta.url);
        texts.set(file, testNames(await Deno.readTextFile(url)));
      }
      assert(texts.get(file)!.includes(words), `${file} has no "${words}"`);
    }
  }
});
