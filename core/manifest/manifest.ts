// Thread: main
// The content of a vm.json as a type, for who writes it in TypeScript. schema.ts says the same, and a test holds them together.
import type { PermissionSet } from "./built_in.ts";

/** The content of a `vm.json`; paths are relative to its folder. */
export interface Manifest {
  /** The path of the JSON Schema, for editors. */
  readonly $schema?: string | undefined;
  /** The machine's name; default "vm". */
  readonly name?: string | undefined;
  /** 1 to 64; default 1. */
  readonly cpus?: number | undefined;
  /** "16M" to "64G"; default "512M". */
  readonly memory?: string | undefined;
  /** Default: Debian's kernel. */
  readonly boot?: ManifestBoot | undefined;
  /** Virtio devices, in the order of their MMIO pages. */
  readonly devices?: readonly ManifestDevice[] | undefined;
  /** Whether the serial port's output (ttyS0) is shown; default true. */
  readonly serial?: boolean | undefined;
}

/** What to boot: Debian's stock kernel, a kernel of one's own, or a flat image. */
export type ManifestBoot =
  | {
    readonly use: "debian";
    /** Words to add to the kernel's command line. */
    readonly cmdline?: string | undefined;
    /** A shell script that the guest runs before it powers off. */
    readonly script?: string | undefined;
  }
  | {
    /** A bzImage or an ELF vmlinux. */
    readonly kernel: string;
    readonly initrd?: string | undefined;
    /** The kernel's command line. */
    readonly cmdline?: string | undefined;
    /** How the kernel is entered; default "auto". */
    readonly protocol?: "auto" | "linux64" | "pvh" | undefined;
  }
  | {
    /** Loaded and entered at 1 MiB. */
    readonly flat: string;
  };

/** A virtio device. Its own options stand beside these; they are checked when the machine starts. */
export interface ManifestDevice {
  /** "console", "block", "rng", "vhost-user", or a module such as "./device.ts", "npm:name@1.0.0" or a file: URL. */
  readonly use: string;
  /** Default: the kind of device and a number. */
  readonly name?: string | undefined;
  /** How the device speaks virtio, which it does not know. */
  readonly virtio?: ManifestVirtio | undefined;
  /** What the device may do; nothing by default. */
  readonly permissions?: ManifestPermissions | undefined;
  /** Default: "worker" for built-in devices, "process" for all others. */
  readonly isolation?: "worker" | "process" | undefined;
  /** What a remote module must be: a hash such as "sha256-…", or false to take whatever comes. */
  readonly integrity?: string | false | undefined;
  readonly [option: string]: unknown;
}

export interface ManifestVirtio {
  /** The register layout of virtio-mmio; default "modern". */
  readonly transport?: "modern" | "legacy" | undefined;
  /** The virtqueue format on offer; default "split". */
  readonly ring?: "split" | "packed" | undefined;
  readonly inOrder?: boolean | undefined;
  readonly notificationData?: boolean | undefined;
  /** How a QueueNotify reaches the device; default "exit". */
  readonly kick?: "exit" | "ioeventfd" | undefined;
}

/** Of each kind a list: paths, hosts, variables, programs. FFI is never granted. */
export type ManifestPermissions =
  & { readonly [Kind in keyof PermissionSet]?: readonly string[] | undefined }
  & { readonly ffi?: false | undefined };
