// Thread: main
// What a device's worker may do: the manifest's grants as Deno permissions, everything else refused.
import type { PermissionSet } from "../manifest/built_in.ts";

/** Deno's form. A key that is missing there would inherit main's permissions, so each is set. */
export function workerPermissions(
  grants: PermissionSet,
): Deno.PermissionOptionsObject {
  const list = (values: readonly string[]) =>
    values.length > 0 ? [...values] : false;
  return {
    read: list(grants.read),
    write: list(grants.write),
    net: list(grants.net),
    env: list(grants.env),
    run: list(grants.run),
    import: list(grants.import),
    ffi: false,
    sys: false,
  };
}

/**
 * What the launcher of a device's worker may do: what the device may, for it cannot grant more than it has; and read
 * the device's own folder and the core, which bounds what the device's modules can import.
 */
export function launcherPermissions(
  grants: PermissionSet,
  module: string,
): Deno.PermissionOptionsObject {
  return workerPermissions({
    ...grants,
    read: [...grants.read, ...moduleFolders(module)],
  });
}

/** What a process or thread must read to load a device's module: its own folder, and the core. */
export function moduleFolders(module: string): string[] {
  const core = new URL("../", import.meta.url);
  const own = module.startsWith("file:") ? [new URL(".", module)] : [];
  return [core, ...own].map(({ pathname }) => decodeURIComponent(pathname));
}

/** Whether a grant holds what is asked: a folder its files, a host its ports. */
export function covers(
  kind: keyof PermissionSet,
  grant: string,
  asked: string,
): boolean {
  if (grant === asked) return true;
  if (kind === "read" || kind === "write") {
    return asked.startsWith(grant.endsWith("/") ? grant : `${grant}/`);
  }
  if (kind !== "net" && kind !== "import") return false;
  const host = asked.replace(/:[0-9]+$/, "");
  return host === grant ||
    grant.startsWith("*.") && host.endsWith(grant.slice(1));
}
