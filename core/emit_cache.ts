// Thread: main
// A closed process may not write to Deno's cache, so it would transpile its modules at each start: this process, which
// may, has Deno do it once for a version of the sources.
import { cacheFolder } from "./image/cache.ts";
import { configFile, denoDir } from "./sandbox/deno_rights.ts";

const ROOT = new URL("../", import.meta.url);
const FOLDERS = ["core/", "devices/"];
/** Started by URL, so that no import leads to them. */
const ENTRY = /_(process|worker)\.ts$|^devices\/[a-z_0-9]+\/mod\.ts$/;

/** Fills the cache if these sources are new. It takes a second of another process; nobody waits for it. */
export async function fillEmitCache(): Promise<void> {
  if (configFile === undefined) return;
  try {
    const files = FOLDERS.flatMap(listModules);
    const newest = Math.max(...files.map(modified));
    const mark = `${cacheFolder()}/transpiled`;
    const state = `${Deno.version.deno} ${ROOT.pathname} ${newest}`;
    if (!files.some(isStale)) return;
    // What was only touched stays as it is there, and would be looked at for ever.
    if (await Deno.readTextFile(mark).catch(() => "") === state) return;
    const entries = files.filter((file) => ENTRY.test(file))
      .map((file) => new URL(file, ROOT).href);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "cache",
        "--quiet",
        "--cached-only",
        "--frozen",
        `--config=${configFile}`,
        ...entries,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    child.unref();
    const { success } = await child.status;
    if (success) await Deno.writeTextFile(mark, state);
  } catch {
    // Without these rights starts take longer, and nothing else.
  }
}

function listModules(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(
    ({ name, isDirectory }) =>
      isDirectory
        ? listModules(`${folder}${name}/`)
        : name.endsWith(".ts")
        ? [`${folder}${name}`]
        : [],
  );
}

function modified(file: string): number {
  return Deno.statSync(new URL(file, ROOT)).mtime?.getTime() ?? 0;
}

/** Whether Deno's cache lacks a module's JavaScript of this time. */
function isStale(file: string): boolean {
  try {
    const { mtime } = Deno.statSync(
      `${denoDir()}/gen/file${ROOT.pathname}${file}.js`,
    );
    return (mtime?.getTime() ?? 0) < modified(file);
  } catch {
    return true;
  }
}
