// Thread: main
// The user's cache folder: where it is, and files that appear in it whole or not at all.

import { HostError } from "../errors.ts";

/** $PADDOCK_CACHE, else paddock in $XDG_CACHE_HOME, else ~/.cache/paddock. */
export function cacheFolder(): string {
  const own = Deno.env.get("PADDOCK_CACHE");
  if (own) return own;
  const shared = Deno.env.get("XDG_CACHE_HOME");
  if (shared) return `${shared}/paddock`;
  const home = Deno.env.get("HOME");
  if (home) return `${home}/.cache/paddock`;
  throw new HostError(
    "There is no place for downloads: set HOME, or PADDOCK_CACHE to a folder",
  );
}

/** Writes beside `path`, then renames, so that no reader ever sees half a file. */
export async function writeWhole(
  path: string,
  data: Uint8Array | string,
): Promise<void> {
  const temporary = `${path}.${Deno.pid}.tmp`;
  try {
    if (typeof data === "string") await Deno.writeTextFile(temporary, data);
    else await Deno.writeFile(temporary, data);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** Runs `work` while no other process holds the lock `name` in the cache folder. */
export async function withCacheLock<T>(
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  await Deno.mkdir(cacheFolder(), { recursive: true });
  using file = await Deno.open(`${cacheFolder()}/${name}.lock`, {
    create: true,
    write: true,
  });
  await file.lock(true);
  return await work();
}

/** True if there is a file or folder at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Says that a file of the cache is used, for {@linkcode prune}. A cache that cannot be written to keeps its times. */
export function touch(path: string): void {
  try {
    Deno.utimeSync(path, new Date(), new Date());
  } catch {
    // What is pruned too early is made again.
  }
}

/** Removes what nobody has used for some days from a folder of files that can be made again. */
export async function prune(folder: string, days = 30): Promise<void> {
  const oldest = Date.now() - days * DAY_MS;
  for (const { name } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    try {
      const { mtime } = await Deno.stat(path);
      if (mtime !== null && mtime.getTime() < oldest) await Deno.remove(path);
    } catch {
      // It is gone already, or not ours to remove: it costs space only.
    }
  }
}

/** The first 16 hex digits of the SHA-256 of `parts`: a name for what was made from them. */
export async function contentKey(
  parts: Iterable<string | Uint8Array>,
): Promise<string> {
  const encoder = new TextEncoder();
  const digests: string[] = [];
  for (const part of parts) {
    const bytes = typeof part === "string"
      ? encoder.encode(part)
      : new Uint8Array(part);
    digests.push(
      new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex(),
    );
  }
  const all = await crypto.subtle.digest(
    "SHA-256",
    encoder.encode(digests.join()),
  );
  return new Uint8Array(all).toHex().slice(0, 16);
}
