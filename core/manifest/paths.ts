// Thread: main
// Paths and file URLs, with the types that the package does not carry.

import { fromFileUrl as fromFileUrlUntyped } from "@std/path/posix/from-file-url";
import { resolve as resolveUntyped } from "@std/path/posix/resolve";
import { toFileUrl as toFileUrlUntyped } from "@std/path/posix/to-file-url";

/** The absolute path that the parts lead to, from the working directory. */
export const resolve: (...parts: string[]) => string = resolveUntyped;

/** The file URL of an absolute path. */
export const toFileUrl: (path: string) => URL = toFileUrlUntyped;

/** The path of a file URL; throws TypeError for other URLs, and for files of other hosts. */
export function fromFileUrl(url: string | URL): string {
  const { host } = new URL(url);
  if (host !== "") throw new TypeError(`${host} is another host`);
  const convert: (url: string | URL) => string = fromFileUrlUntyped;
  return convert(url);
}

/** The absolute path of a program: a name without a slash is looked up in PATH. Null where there is none. */
export function findProgram(name: string, folder: string): string | null {
  if (name.includes("/")) return resolve(folder, name);
  for (const place of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = resolve(place, name);
    try {
      const { isFile, mode } = Deno.statSync(path);
      if (isFile && ((mode ?? 0) & 0o111) !== 0) return path;
    } catch {
      // The next place.
    }
  }
  return null;
}
