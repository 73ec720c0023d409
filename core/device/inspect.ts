// Thread: main
// Asks a device's module what it declares, in a process that can do nothing else: its code is not trusted.
import { SIGKILL } from "../sys/linux.ts";
import { oneLine } from "../manifest/text.ts";
import { moduleFolders } from "../sandbox/grants.ts";
import { spawnConfined } from "../sandbox/spawn.ts";
import type { Walls } from "../sandbox/walls.ts";
import { refuseComma } from "../sandbox/vm_permissions.ts";
import {
  type ModuleDeclaration,
  readModuleDeclaration,
} from "./module_declaration.ts";
import { importHosts } from "./remote_module.ts";

/** A module that waits for something when it is loaded is given up. */
const BUDGET_MS = 10_000;
const MAX_BYTES = 512 * 2 ** 20;
/** What it prints beyond is not kept. */
const MAX_OUTPUT = 2 ** 20;

/** A declaration, and which of the options that were given do not match their patterns. */
export interface Inspected extends ModuleDeclaration {
  readonly unmatched: readonly string[];
}

/**
 * The module's declaration, or one line that says why there is none. What it imports must lie in its own folder, the
 * core or a path of `readable`. Patterns of its options are tried on `given` there too: one can take for ever.
 */
export async function inspectModule(
  module: string,
  readable: readonly string[] = [],
  given: Readonly<Record<string, unknown>> = {},
  walls: Partial<Walls> = {},
): Promise<Inspected | string> {
  const folders = [...moduleFolders(module), ...readable];
  folders.forEach(refuseComma);
  await using child = await spawnConfined({
    ...walls,
    // However far the machine is closed: nobody has asked for this code to run yet.
    sandbox: "strict",
    entry: new URL("./inspect_process.ts", import.meta.url),
    args: [module],
    permissions: [
      `--allow-read=${folders.join(",")}`,
      ...importHosts(module).map((host) => `--allow-import=${host}`),
    ],
    landlock: { read: folders },
    isHostile: true,
    isExpendable: true,
    memory: { bytes: MAX_BYTES, workers: 0 },
    env: { NO_COLOR: "1" },
    // Not among its arguments, which other users may see.
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const input = child.stdin!.getWriter();
  // One that has died says so below.
  const told = input.write(new TextEncoder().encode(JSON.stringify(given)))
    .then(() => input.close()).catch(() => {});
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    // A module may listen to SIGTERM.
    child.kill(SIGKILL);
  }, BUDGET_MS);
  const [stdout, stderr, { code }] = await Promise.all([
    lastText(child.stdout!),
    lastText(child.stderr!),
    child.status,
    told,
  ]);
  clearTimeout(late);
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  const answer = parse(last);
  if (typeof answer?.problem === "string") {
    return oneLine(answer.problem.replace(/\s+/g, " "));
  }
  if (answer?.declaration !== undefined) {
    const declaration = readModuleDeclaration(answer.declaration);
    if (typeof declaration === "string") return declaration;
    const { unmatched } = answer;
    const names = Array.isArray(unmatched) ? unmatched.map(String) : [];
    return { ...declaration, unmatched: names };
  }
  const said = stderr.trim().split("\n")[0] ?? "";
  return isLate
    ? `does not load in ${BUDGET_MS / 1000} s`
    : `ends Deno when it is loaded: ${oneLine(said) || `status ${code}`}`;
}

/** The end of what a stream brings; it is read to the end, so that nobody waits. */
async function lastText(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const bytes of stream) {
    chunks.push(new Uint8Array(bytes));
    length += bytes.length;
    while (length - chunks[0]!.length >= MAX_OUTPUT) {
      length -= chunks.shift()!.length;
    }
  }
  return await new Blob(chunks).text();
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
