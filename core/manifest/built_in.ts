// Thread: main
// What a built-in device tells the manifest: its options, and what they make the host grant.

import type { OptionsSchema, OptionValues } from "./options.ts";

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

/** What a built-in device's options make the host do. */
export interface Consequences {
  readonly permissions?: Partial<PermissionSet>;
  readonly disk?: DiskConfig;
}

/** A built-in device as the registry lists it. */
export interface BuiltIn {
  /** URL of the module that declares the device. */
  readonly module: string;
  readonly options: OptionsSchema;
  /** `options` are checked and resolved. */
  configure(options: Readonly<Record<string, unknown>>): Consequences;
}

/** The built-in devices by the name that `use` gives. */
export type Registry = ReadonlyMap<string, BuiltIn>;

/** Ties a device's options to a function that gets them typed. */
export function builtIn<const Options extends OptionsSchema>(
  module: string,
  options: Options,
  configure: (options: OptionValues<Options>) => Consequences = () => ({}),
): BuiltIn {
  return {
    module,
    options,
    configure: (values) => configure(values as OptionValues<Options>),
  };
}

/** Nothing is granted. */
export const NOTHING: PermissionSet = {
  read: [],
  write: [],
  net: [],
  env: [],
  run: [],
  import: [],
};
