// Thread: main
// The worked examples, which lie beside the product where it was not installed without them.
import { fromFileUrl, resolve } from "./paths.ts";

const FOLDER = new URL("../../plugins/", import.meta.url);
const MODULE_NAME = "mod.ts";
const NAME = /^[a-z][a-z0-9_]*$/;

/** Their folders, in the order of their names. */
export function exampleFolders(): string[] {
  if (FOLDER.protocol !== "file:") return [];
  const path = resolve(fromFileUrl(FOLDER));
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name)
      .filter((name) => exampleModule(name) !== null).sort()
      .map((name) => `${path}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The module's path of the example with this name; null where there is none. */
export function exampleModule(name: string): string | null {
  if (FOLDER.protocol !== "file:" || !NAME.test(name)) return null;
  const path = resolve(fromFileUrl(FOLDER), name, MODULE_NAME);
  try {
    return Deno.statSync(path).isFile ? path : null;
  } catch {
    return null;
  }
}
