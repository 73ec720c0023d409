// What differs from run to run in the lab: the working tree, Deno's cache and the command, as an archive
// that the lab's first process stacks over the base image.

import { HostError } from "../../core/errors.ts";
import { cacheFolder, exists } from "../../core/image/cache.ts";
import { type CpioEntry, writeCpio } from "../../core/image/cpio.ts";
import sessionScript from "./session.sh" with { type: "text" };

export interface Session {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Seconds after which the lab switches itself off, should nobody be left to end it. */
  readonly timeout: number;
  readonly terminal?: { readonly rows: number; readonly columns: number };
  /** Files and folders outside the repository to take along, by absolute path. */
  readonly paths: readonly string[];
}

const SKIPPED = new Set([".git", "node_modules"]);
const DATABASE = /^(dep_analysis|node_analysis|v8_code)_cache_v\d+(-wal)?$/;
const DATABASE_LIMIT = 32 * 1024 * 1024;
/** All of it is in the lab's memory. */
const LAYER_LIMIT = 1024 * 1024 * 1024;
const PASSED_ON =
  /^(NO_COLOR|FORCE_COLOR|TERM|COLORTERM|LANG|LC_ALL|DENO_.*|PADDOCK_.*)$/;

/** The repository's folder, without a slash at the end. */
export const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(
  /\/$/,
  "",
);

export async function buildLayer(
  session: Session,
): Promise<Uint8Array<ArrayBuffer>> {
  const layer = new Layer();
  await layer.addTree(REPOSITORY);
  for (const path of session.paths) {
    if ((await Deno.stat(path)).isFile) await layer.addFile(path);
    else await layer.addTree(path);
  }
  await addDenoCache(layer);
  layer.addText("/lab/session.sh", sessionScript);
  layer.addText("/lab/command.sh", commandScript(session));
  layer.addText("/lab/timeout", `${session.timeout}\n`);
  if (session.terminal) {
    const { rows, columns } = session.terminal;
    layer.addText("/lab/terminal", `rows ${rows} columns ${columns}\n`);
  }
  return writeCpio(layer.entries);
}

/** Collects members below layer/, each after its parents. */
class Layer {
  readonly entries: CpioEntry[] = [];
  readonly #folders = new Set<string>();
  #bytes = 0;

  addText(path: string, text: string): void {
    this.#addFolder(path.slice(0, path.lastIndexOf("/")));
    this.entries.push({
      type: "file",
      path: `layer${path}`,
      data: new TextEncoder().encode(text),
    });
  }

  async addTree(folder: string): Promise<void> {
    this.#addFolder(folder);
    for (const { name, isDirectory, isSymlink } of Deno.readDirSync(folder)) {
      const path = `${folder}/${name}`;
      if (SKIPPED.has(name)) continue;
      if (isDirectory) await this.addTree(path);
      else if (isSymlink) {
        this.entries.push({
          type: "symlink",
          path: `layer${path}`,
          target: await Deno.readLink(path),
        });
      } else await this.addFile(path);
    }
  }

  async addFile(path: string): Promise<void> {
    this.#addFolder(path.slice(0, path.lastIndexOf("/")));
    try {
      const { mode } = await Deno.stat(path);
      const data = await Deno.readFile(path);
      this.#bytes += data.length;
      if (this.#bytes > LAYER_LIMIT) {
        throw new HostError(
          `${path} is too much for the lab, which takes all of its folder along; move what is large elsewhere`,
        );
      }
      this.entries.push({
        type: "file",
        path: `layer${path}`,
        data,
        mode: (mode ?? 0o644) & 0o777,
      });
    } catch (error) {
      // Another process may be writing the tree: what is gone by now is not needed.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  #addFolder(folder: string): void {
    if (this.#folders.has(folder)) return;
    if (folder !== "") {
      this.#addFolder(folder.slice(0, folder.lastIndexOf("/")));
    }
    this.#folders.add(folder);
    this.entries.push({ type: "directory", path: `layer${folder}` });
  }
}

/**
 * What this repository needs of Deno's cache, which may be large: its npm packages, its own modules
 * as JavaScript, and small databases that save a third of a second a start.
 */
async function addDenoCache(layer: Layer): Promise<void> {
  const cache = denoFolder();
  for (const registry of listFolder(`${cache}/npm`)) {
    for (const { name, version } of await lockedPackages()) {
      const folder = `${cache}/npm/${registry}/${name}`;
      for (const entry of listFolder(folder)) {
        if (entry === version || entry.startsWith(`${version}_`)) {
          await layer.addTree(`${folder}/${entry}`);
        } else if (entry === "registry.json") {
          await layer.addFile(`${folder}/${entry}`);
        }
      }
    }
  }
  const own = `${cache}/gen/file${REPOSITORY}`;
  if (await exists(own)) await layer.addTree(own);
  for (const entry of listFolder(cache)) {
    const path = `${cache}/${entry}`;
    if (DATABASE.test(entry) && (await Deno.stat(path)).size < DATABASE_LIMIT) {
      await layer.addFile(path);
    }
  }
}

/** The keys of deno.lock's "npm": "@scope/name@1.2.3_peer@4.5.6". */
async function lockedPackages(): Promise<{ name: string; version: string }[]> {
  const lock = JSON.parse(await Deno.readTextFile(`${REPOSITORY}/deno.lock`));
  return Object.keys(lock.npm).map((key) => {
    const [, name = "", version = ""] = /^(@?[^@]+)@([^_]+)/.exec(key) ?? [];
    return { name, version };
  });
}

function listFolder(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Where `deno` keeps its cache. */
function denoFolder(): string {
  const shared = Deno.env.get("XDG_CACHE_HOME") ??
    `${Deno.env.get("HOME")}/.cache`;
  return Deno.env.get("DENO_DIR") ?? `${shared}/deno`;
}

function commandScript({ command, cwd, env }: Session): string {
  const inherited = Object.entries(Deno.env.toObject()).filter(([name]) =>
    PASSED_ON.test(name)
  );
  const variables = {
    ...Object.fromEntries(inherited),
    HOME: Deno.env.get("HOME") ?? "/root",
    DENO_DIR: denoFolder(),
    DENO_NO_UPDATE_CHECK: "1",
    PADDOCK_CACHE: cacheFolder(),
    PADDOCK_LAB: "1",
    ...env,
  };
  return [
    ...Object.entries(variables).map(([name, value]) =>
      `export ${name}=${quote(value)}`
    ),
    `cd ${quote(cwd)} || exit`,
    `exec ${command.map(quote).join(" ")}`,
    "",
  ].join("\n");
}

/** As one word of sh. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
