import { assertEquals } from "@std/assert";
import { nearest } from "../../../core/manifest/text.ts";

const FIELDS = ["use", "path", "size", "readOnly", "text", "serial", "rng"];

Deno.test("nearest() finds a word with one mistake, or two letters that changed places", () => {
  const meant = {
    paht: "path",
    txet: "text",
    szie: "size",
    sue: "use",
    rgn: "rng",
    pth: "path",
    Path: "path",
    readonly: "readOnly",
    raedOnyl: "readOnly",
    serail: "serial",
  };
  for (const [word, field] of Object.entries(meant)) {
    assertEquals(nearest(word, FIELDS), field, word);
  }
});

Deno.test("nearest() suggests nothing for a word that is another", () => {
  for (
    const word of [
      "",
      "a",
      "ab",
      "pipe",
      "tape",
      "htap",
      "seal",
      "gnr",
    ]
  ) {
    assertEquals(nearest(word, FIELDS), undefined, word);
  }
});
