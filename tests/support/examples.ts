// The examples in doc comments, as modules.

const ROOT = new URL("../../", import.meta.url);

export interface Example {
  /** "core/plugin.ts, line 80". */
  readonly where: string;
  /** Its module's text. */
  readonly code: string;
  /** It needs a guest, or is a test itself. */
  readonly ignored: boolean;
}

/** All examples in TypeScript of a file's doc comments. */
export function examplesOf(file: string): Example[] {
  const text = Deno.readTextFileSync(new URL(file, ROOT));
  const found: Example[] = [];
  const block = /^ *\* ```ts( ignore)?\n([^]*?)^ *\* ```$/gm;
  for (const { index, 1: ignored, 2: code } of text.matchAll(block)) {
    const line = text.slice(0, index).split("\n").length;
    found.push({
      where: `${file}, line ${line}`,
      code: code!.replace(/^ *\* ?/gm, ""),
      ignored: ignored !== undefined,
    });
  }
  return found;
}
