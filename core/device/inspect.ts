// Thread: main
// Asks a device's module what it declares, in a process that can do nothing else: its code is not trusted.
import { oneLine } from "../manifest/text.ts";
import { moduleFolders } from "../sandbox/grants.ts";
import {
  type ModuleDeclaration,
  readModuleDeclaration,
} from "./module_declaration.ts";
import { importHosts } from "./remote_module.ts";

/** A module that waits for something when it is loaded is given up. */
const BUDGET_MS = 20_000;
const MAX_HEAP_MB = 256;

/**
 * The module's declaration, or one line that says why there is none. What it imports must lie in its own folder, the
 * core or a path of `readable`. Needs `--allow-run` for Deno itself.
 */
export async function inspectModule(
  module: string,
  readable: readonly string[] = [],
): Promise<ModuleDeclaration | string> {
  const entry = new URL("./inspect_process.ts", import.meta.url);
  const config = new URL("../../deno.json", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--quiet",
      `--config=${config.pathname}`,
      `--v8-flags=--max-old-space-size=${MAX_HEAP_MB}`,
      `--allow-read=${[...moduleFolders(module), ...readable].join(",")}`,
      ...importHosts(module).map((host) => `--allow-import=${host}`),
      "--cached-only",
      entry.href,
      module,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(BUDGET_MS),
  }).output();
  const text = new TextDecoder();
  const last = text.decode(stdout).trimEnd().split("\n").at(-1) ?? "";
  const answer = parse(last);
  if (typeof answer?.problem === "string") return oneLine(answer.problem);
  if (answer?.declaration !== undefined) {
    return readModuleDeclaration(answer.declaration);
  }
  const said = text.decode(stderr).trim().split("\n")[0] ?? "";
  return code === 143
    ? `does not load in ${BUDGET_MS / 1000} s`
    : `ends Deno when it is loaded: ${oneLine(said) || `status ${code}`}`;
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
