// Thread: main
// What a built-in device tells the manifest: its options, and what they make the host grant.

import * as v from "valibot";

/** What a device's worker or process may do; each list is complete, empty means nothing. */
export interface PermissionSet {
  readonly read: readonly string[];
  readonly write: readonly string[];
  readonly net: readonly string[];
  readonly env: readonly string[];
  readonly run: readonly string[];
  readonly import: readonly string[];
}

/** A disk image that main checks, creates where it is missing, and locks before the device starts. */
export interface DiskConfig {
  /** The option that names the file, for messages. */
  readonly field: string;
  /** Absolute. */
  readonly path: string;
  readonly writable: boolean;
  /** Bytes of the sparse file to create where there is none; undefined: it must exist. */
  readonly createSize: number | undefined;
}

/** What the options of one device come to. */
export interface Configured {
  /** Plain data for the device's worker, paths absolute. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly permissions?: Partial<PermissionSet>;
  readonly disk?: DiskConfig;
}

/** A built-in device as the registry lists it. */
export interface BuiltIn {
  /** URL of the module that declares the device. */
  readonly module: string;
  /** One schema an option; its output is as its input, but for defaults. */
  readonly entries: v.ObjectEntries;
  /** `device` has passed the schemas; `absolute` resolves a path against the manifest's folder. */
  configure(device: unknown, absolute: (path: string) => string): Configured;
}

/** The built-in devices by the name that `use` gives. */
export type Registry = ReadonlyMap<string, BuiltIn>;

/** Ties a device's option schemas to a function that gets them typed, defaults filled in. */
export function builtIn<const Entries extends v.ObjectEntries>(
  module: string,
  entries: Entries,
  configure: (
    options: v.InferOutput<v.ObjectSchema<Entries, undefined>>,
    absolute: (path: string) => string,
  ) => Configured,
): BuiltIn {
  const schema = v.object(entries);
  return {
    module,
    entries,
    configure: (device, absolute) =>
      configure(v.parse(schema, device), absolute),
  };
}
