// Thread: any
// Where a path leads, by libc: asking Deno would need a permission.
import { cString, cText, libc } from "./libc.ts";
import { PATH_MAX } from "./linux.ts";

/** The path without symlinks; null where there is nothing. */
export function realPath(path: string): string | null {
  const resolved = new Uint8Array(PATH_MAX);
  return libc.realpath(cString(path), resolved) === null
    ? null
    : cText(resolved);
}
