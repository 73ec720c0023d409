// Thread: main
// What a manifest comes to: every default filled in, paths absolute, sizes in bytes.

import type { DiskConfig, PermissionSet } from "./built_in.ts";

/** A virtual machine, ready to be assembled. */
export interface VmConfig {
  readonly name: string;
  readonly cpus: number;
  /** Bytes, a multiple of 4 KiB. */
  readonly memory: number;
  readonly boot: BootConfig;
  /** In the manifest's order, which is the order of their MMIO pages. */
  readonly devices: readonly DeviceConfig[];
  /** Absolute: what the manifest's paths are relative to. */
  readonly folder: string;
  /** Whether what the guest writes to ttyS0 is shown. */
  readonly serial: boolean;
}

export type BootConfig =
  | {
    readonly kind: "debian";
    readonly cmdline: string;
    readonly script: string | undefined;
  }
  | {
    readonly kind: "kernel";
    readonly kernel: string;
    readonly initrd: string | undefined;
    readonly cmdline: string;
    readonly protocol: "auto" | "linux64" | "pvh";
  }
  | { readonly kind: "flat"; readonly flat: string };

/** How a device speaks virtio; the device itself does not know. */
export interface VirtioConfig {
  /** Version 2 or 1 of virtio-mmio (virtio-v1.3 §4.2.2, §4.2.4). */
  readonly transport: "modern" | "legacy";
  /** Whether packed virtqueues are offered beside split ones. */
  readonly ring: "split" | "packed";
  readonly inOrder: boolean;
  readonly notificationData: boolean;
  /** A kick by an exit of the vCPU, or by an ioeventfd from DRIVER_OK on. */
  readonly kick: "exit" | "ioeventfd";
}

export interface DeviceConfig {
  readonly index: number;
  /** Unique in the machine: what the manifest says, or "block0". */
  readonly name: string;
  /** Whether it is one of ours, and so trusted with a worker in this process. */
  readonly builtIn: boolean;
  /** URL of the module; "npm:…" and "jsr:…" are such too; "" for a device of another program. */
  readonly module: string;
  /** What a remote module must be; undefined where the manifest says nothing. */
  readonly integrity: string | false | undefined;
  /** In a worker of the VM's process, or in a process of its own, which can be killed. */
  readonly isolation: "worker" | "process";
  readonly virtio: VirtioConfig;
  /** Plain data for the module; a plugin's is checked against what it declares before it starts. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What the options imply and the manifest grants. */
  readonly permissions: PermissionSet;
  /** The image that main opens, creates and locks. */
  readonly disk: DiskConfig | undefined;
  /** What a plugin declares, once it was asked. */
  readonly declared?: DeclaredDevice;
  /** Where another program serves it, over vhost-user. */
  readonly backEnd?: BackEndConfig;
}

/** Whether a device's module has to be asked what it declares: what others wrote, and what runs in a process. */
export function isApart(
  { builtIn, isolation, backEnd }: DeviceConfig,
): boolean {
  return backEnd === undefined && (!builtIn || isolation === "process");
}

/** What can be known of a device before it is made. */
export interface DeclaredDevice {
  readonly id: number;
  readonly needs: FeatureNeeds;
  /** The size of each. */
  readonly queues: readonly number[];
  /** Bytes. */
  readonly configSize: number;
}

/** Pairs of a feature's bit and that of one that it needs. */
export type FeatureNeeds = readonly (readonly [
  feature: number,
  needed: number,
])[];

/** A device that another program serves. */
export interface BackEndConfig {
  /** It is a process of ours that may still be starting: the driver waits for it, not the start. */
  readonly starting?: true;
  /** Absolute. */
  readonly socket: string;
  /** The virtio device id. */
  readonly id: number;
  /** The size of each. */
  readonly queues: readonly number[];
  /** Its configuration space, where that is the front end's; else how many bytes to ask the program for. */
  readonly config: Uint8Array | number;
  /** Features that it is offered without where the program has no configuration space; null: it needs one. */
  readonly withoutConfig: readonly number[] | null;
  /** Features that need others: the protocol does not say. */
  readonly needs: FeatureNeeds;
  /** Whether it gives back what it took in the same order: another can go on where it was killed. */
  readonly ordered: boolean;
}
