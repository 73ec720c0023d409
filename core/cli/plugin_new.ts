// Thread: main
// `paddock plugin new`: writes a device that works, with its test, its manifest and what an editor needs.

import config from "../../deno.json" with { type: "json" };
import { resolve } from "../manifest/paths.ts";
import { quote } from "../manifest/text.ts";
import type { ArgsOf } from "./args.ts";
import { writeNewFiles } from "./new_files.ts";
import { printNote } from "./output.ts";
import { UsageError } from "./usage.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
/** The worked example that is copied, and the name that becomes another. */
const TEMPLATE = "starter";
const FILES = ["mod.ts", "mod_test.ts", "vm.json", "README.md"];

/** What is both a device's name in a manifest and a folder's that needs no quotes. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

/** Writes all files or none; those that exist stay, unless --force. */
export function pluginNew(
  { dir, force }: ArgsOf<"plugin new">,
): Promise<number> {
  return Promise.try(() => {
    const name = resolve(dir).split("/").at(-1)!;
    if (!NAME.test(name)) {
      throw new UsageError(
        `${
          quote(name)
        } cannot be a device's name; take a letter, then up to 31 letters, digits, "_" or "-"`,
      );
    }
    const copies = FILES.map((file) => {
      const text = Deno.readTextFileSync(`${ROOT}plugins/${TEMPLATE}/${file}`);
      return [file, text.replaceAll(TEMPLATE, name)];
    });
    const files = { ...Object.fromEntries(copies), "deno.json": denoConfig() };
    writeNewFiles(dir, files, force);
    printNote(`Next: cd ${dir} && deno task start; its README.md says more`);
    return 0;
  });
}

/** For the editor, the tests and the tasks: they use this installation, until `links` is removed. */
function denoConfig(): string {
  const { name, version } = config;
  const run = (file: string) => `deno run -A ${quoteForShell(ROOT + file)}`;
  return `${
    JSON.stringify(
      {
        imports: { [name]: `jsr:${name}@^${version}` },
        links: [ROOT],
        unstable: config.unstable,
        tasks: {
          start: `${run("tests/lab/start.ts")} --watch vm.json`,
          test: "deno test -A --no-check",
          paddock: run("main.ts"),
        },
      },
      null,
      2,
    )
  }\n`;
}

function quoteForShell(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path)
    ? path
    : `'${path.replaceAll("'", `'\\''`)}'`;
}
