// Thread: main
// The parts of the plugin API's page, as `paddock explain plugin.<part>` prints them.
import { nearest, quote } from "../manifest/text.ts";
import { UsageError } from "./usage.ts";

/** Made of the doc comments of core/plugin.ts. */
const PAGE = new URL("../../plugins/API.md", import.meta.url);

/** A part of the page. */
export interface PagePart {
  readonly name: string;
  /** Plain text, with code four columns in. */
  readonly text: string;
}

/** All parts in the page's order. */
export function readPage(): PagePart[] {
  const [, ...sections] = Deno.readTextFileSync(PAGE).split(/^###? /m);
  return sections.map((section) => {
    const end = section.indexOf("\n");
    return { name: section.slice(0, end), text: plain(section.slice(end)) };
  }).filter(({ text }) => text !== "");
}

/** The part with this name, which may go on with a member's: "DeviceContext.log". Throws a UsageError. */
export function findPart(name: string): PagePart {
  const parts = readPage();
  const words = name.toLowerCase().split(".");
  const named = (word = "") =>
    parts.find((part) => part.name.toLowerCase() === word);
  // The members of a declaration have parts of their own.
  const part = named(words.at(-1)) ?? named(words[0]);
  if (part !== undefined) return part;
  const meant = nearest(name, parts.map((part) => part.name));
  const remedy = meant === undefined
    ? "see paddock explain plugin for those that there are"
    : `did you mean plugin.${meant}?`;
  throw new UsageError(
    `The plugin API has no part ${quote(name)}; ${remedy}`,
  );
}

/** Markdown without its marks. */
function plain(markdown: string): string {
  const paragraphs = markdown.trim().split(/^(```ts\n[^]*?\n```)$/m);
  return paragraphs.map((text) =>
    text.startsWith("```ts")
      ? text.replace(/^```.*\n?/gm, "").replace(/^(?=.)/gm, "    ").trimEnd()
      : text.replace(/\[`(\w+)`\]\(#\w+\)/g, "$1").trim()
  ).filter((text) => text !== "").join("\n\n");
}
