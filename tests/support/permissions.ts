// Permissions of devices, as tests have them.
import type { PermissionSet } from "../../core/manifest/built_in.ts";

/** Nothing is granted. */
export const NOTHING: PermissionSet = {
  read: [],
  write: [],
  net: [],
  env: [],
  run: [],
  import: [],
};
