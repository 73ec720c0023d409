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
