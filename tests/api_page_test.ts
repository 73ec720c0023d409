// plugins/API.md is what the doc comments say, and has what messages send their readers to.

import { assertEquals } from "@std/assert";
import { apiPage, pageParts, REMEDY } from "./api_page.ts";

const ROOT = new URL("../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));
const page = read("plugins/API.md");
const headings = [...page.matchAll(/^### (\w+)$/gm)].map(([, name]) => name!);

Deno.test("plugins/API.md is up to date", async () => {
  assertEquals(await apiPage(), page, REMEDY);
});

Deno.test("plugins/API.md has each part once, and all that core/plugin.ts exports", () => {
  assertEquals(headings, pageParts());
  assertEquals(
    new Set(headings.map((name) => name.toLowerCase())).size,
    headings.length,
  );
  const door = read("core/plugin.ts");
  const lists = [...door.matchAll(/^export (?:type )?\{([^}]*)\}/gm)]
    .flatMap(([, names]) => names!.split(",").map((name) => name.trim()));
  const declared = [
    ...door.matchAll(/^export (?:type|interface|function|const|class) (\w+)/gm),
  ].map(([, name]) => name!);
  const exported = [...lists, ...declared].filter((name) => name !== "");
  assertEquals(exported.length > 20, true);
  assertEquals(exported.filter((name) => !headings.includes(name)), []);
});

Deno.test("Every part of plugins/API.md says something", () => {
  const sections = page.split(/^### /m).slice(1);
  const silent = sections.filter((section) => {
    const prose = section.split(/^## /m)[0]!.replace(/```ts\n[^]*?\n```/g, "");
    return prose.trim().split("\n").length < 2;
  });
  assertEquals(silent, []);
});

Deno.test("Links inside plugins/API.md lead to one of its parts", () => {
  const links = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, to]) => to!);
  const anchors = headings.map((name) => name.toLowerCase());
  assertEquals(links.length > headings.length, true);
  assertEquals(links.filter((to) => !anchors.includes(to)), []);
});

Deno.test("Parts of plugins/API.md that messages name are there", () => {
  const device = [
    "declaration_checks",
    "module_declaration",
    "option_declaration",
    "made_device",
  ].map((name) => read(`core/device/${name}.ts`)).join("\n");
  const kit = [...Deno.readDirSync(new URL("core/conformance/", ROOT))].map(
    ({ name }) => read(`core/conformance/${name}`),
  ).join("\n");
  // The last argument of broken(problem, part), which is declared once more than it is called.
  const broken = [...device.matchAll(/,\s+"(\w+)",?\s*\)/g)];
  assertEquals(broken.length, device.split("broken(").length - 2);
  const named = [
    ...broken,
    ...device.matchAll(/see (\w+) in plugins\/API\.md/g),
    ...kit.matchAll(/\bapi\(\s*"([\w.]+)",?\s*\)/g),
  ].map(([, part]) => part!);
  assertEquals(new Set(named).size > 8, true, named.join());
  const missing = named.filter((part) => {
    const [type = "", member] = part.split(".");
    if (!headings.includes(type)) return true;
    const section = page.split(`### ${type}\n`)[1]!.split("\n### ")[0]!;
    const isThere = member === undefined || headings.includes(member) ||
      new RegExp(`\\b${member}\\b[?(:]`).test(section);
    return !isThere;
  });
  assertEquals(missing, []);
});
