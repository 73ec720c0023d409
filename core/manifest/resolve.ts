// Thread: main
// Makes a VmConfig of a manifest that has the right form: paths, names, permissions, files.

import { ManifestError } from "../errors.ts";
import type { Consequences, PermissionSet, Registry } from "./built_in.ts";
import type {
  BootConfig,
  DeviceConfig,
  VirtioConfig,
  VmConfig,
} from "./config.ts";
import { checkThere, FileSet } from "./files.ts";
import { resolveOptions } from "./options.ts";
import { findProgram, fromFileUrl, resolve, toFileUrl } from "./paths.ts";
import type { CheckedManifest } from "./schema.ts";
import { formatSize, parseSize } from "./size.ts";
import { quote } from "./text.ts";
import {
  kindOfDevice,
  resolveVhostUser,
  VHOST_USER,
  type VhostUserDevice,
} from "./vhost_user.ts";

type Device = CheckedManifest["devices"][number];

/** `baseDir` is absolute: paths in the manifest are relative to it. */
export function resolveManifest(
  manifest: CheckedManifest,
  baseDir: string,
  registry: Registry,
): VmConfig {
  const files = new FileSet();
  const absolute = (path: string): string => resolve(baseDir, path);
  const boot = resolveBoot(manifest.boot, absolute);
  const memory = parseSize(manifest.memory);
  checkBoot(boot, memory, files);
  const names = deviceNames(manifest.devices);
  const devices = manifest.devices.map((device, index): DeviceConfig => ({
    index,
    name: names[index]!,
    ...resolveDevice(device, `devices[${index}]`, registry, absolute, files),
  }));
  const { name, cpus, serial } = manifest;
  return { name, cpus, memory, boot, devices, folder: baseDir, serial };
}

function resolveDevice(
  device: Device,
  field: string,
  registry: Registry,
  absolute: (path: string) => string,
  files: FileSet,
): Omit<DeviceConfig, "index" | "name"> {
  if (isVhostUser(device)) {
    return resolveBackEnd(device, field, absolute, files);
  }
  const builtIn = registry.get(device.use);
  const given = moduleOptions(device);
  const options = builtIn === undefined
    ? given
    : resolveOptions(builtIn.options, given, absolute);
  const consequences = builtIn?.configure(options) ?? {};
  const { disk } = consequences;
  if (disk !== undefined) {
    const { path, writable, createSize } = disk;
    files.addDisk(`${field}.${disk.field}`, path, writable, createSize);
  }
  return {
    builtIn: builtIn !== undefined,
    module: builtIn?.module ??
      moduleUrl(`${field}.use`, device.use, absolute, files),
    isolation: device.isolation ??
      (builtIn === undefined ? "process" : "worker"),
    integrity: (device as { integrity?: string | false }).integrity,
    virtio: resolveVirtio(device.virtio, `${field}.virtio`),
    options,
    permissions: permissionsOf(device, consequences, absolute, field),
    disk,
  };
}

/** The schema has seen to the rest. */
function isVhostUser(device: Device): device is Device & VhostUserDevice {
  return device.use === VHOST_USER;
}

/** A kick never stops a vCPU here: the other program has the eventfd. */
function resolveBackEnd(
  device: Device & VhostUserDevice,
  field: string,
  absolute: (path: string) => string,
  files: FileSet,
): Omit<DeviceConfig, "index" | "name"> {
  return {
    builtIn: true,
    module: "",
    isolation: "worker",
    integrity: undefined,
    virtio: {
      ...resolveVirtio(device.virtio, `${field}.virtio`),
      kick: "ioeventfd",
    },
    options: {},
    permissions: permissionsOf({ use: device.use }, {}, absolute, field),
    disk: undefined,
    backEnd: resolveVhostUser(device, field, absolute, files),
  };
}

/** A legacy driver knows none of what came with version 1.0 (virtio-v1.3 §6.3). */
function resolveVirtio(virtio: Device["virtio"], field: string): VirtioConfig {
  const config: VirtioConfig = {
    transport: "modern",
    ring: "split",
    inOrder: false,
    notificationData: false,
    kick: "exit",
    ...virtio,
  };
  const modernOnly = config.ring === "packed"
    ? "ring"
    : config.inOrder
    ? "inOrder"
    : config.notificationData
    ? "notificationData"
    : null;
  if (config.transport === "modern" || modernOnly === null) return config;
  throw new ManifestError(
    `${field}.${modernOnly}`,
    'needs the modern transport; remove it, or "transport": "legacy"',
  );
}

function resolveBoot(
  boot: CheckedManifest["boot"],
  absolute: (path: string) => string,
): BootConfig {
  if ("flat" in boot) return { kind: "flat", flat: absolute(boot.flat) };
  const { cmdline } = boot;
  if ("kernel" in boot) {
    return {
      kind: "kernel",
      kernel: absolute(boot.kernel),
      initrd: boot.initrd === undefined ? undefined : absolute(boot.initrd),
      cmdline,
      protocol: boot.protocol,
    };
  }
  const script = boot.script === undefined ? undefined : absolute(boot.script);
  return { kind: "debian", cmdline, script };
}

/** The configuration with another script to run; `path` is relative to the working directory. */
export function withScript(config: VmConfig, path: string): VmConfig {
  const { boot } = config;
  if (boot.kind !== "debian") {
    throw new ManifestError(
      "--script",
      'needs "boot": { "use": "debian" }; set that, or remove the option',
    );
  }
  const script = resolve(path);
  new FileSet().addInput("--script", script);
  return { ...config, boot: { ...boot, script } };
}

function checkBoot(boot: BootConfig, memory: number, files: FileSet): void {
  let loaded = 0;
  for (const key of ["kernel", "initrd", "flat", "script"] as const) {
    const path = (boot as Partial<Record<typeof key, string>>)[key];
    if (path === undefined) continue;
    loaded += files.addInput(`boot.${key}`, path);
    if (loaded > memory) {
      throw new ManifestError(
        `boot.${key}`,
        `${quote(path)} does not fit into ${
          formatSize(memory)
        }; raise "memory"`,
      );
    }
  }
}

/** All that is not for the host is the module's. */
function moduleOptions(device: Device): Record<string, unknown> {
  const {
    use: _use,
    name: _name,
    permissions: _permissions,
    virtio: _virtio,
    integrity: _integrity,
    isolation: _isolation,
    ...options
  } = device;
  return options;
}

function moduleUrl(
  field: string,
  use: string,
  absolute: (path: string) => string,
  files: FileSet,
): string {
  if (/^(npm|jsr|https?):/.test(use)) return use;
  let path: string;
  try {
    path = use.startsWith("file:") ? fromFileUrl(new URL(use)) : absolute(use);
  } catch {
    throw new ManifestError(
      field,
      `${
        quote(use)
      } is not a file URL; write the module's path, such as "./device.ts"`,
    );
  }
  files.addInput(field, path);
  return toFileUrl(path).href;
}

function permissionsOf(
  device: Device,
  consequences: Consequences,
  absolute: (path: string) => string,
  field: string,
): PermissionSet {
  const granted = device.permissions ?? {};
  checkReads(device, absolute, `${field}.permissions.read`);
  const implied = consequences.permissions ?? {};
  const merge = (key: keyof PermissionSet, map = (item: string) => item) => [
    ...new Set([...implied[key] ?? [], ...(granted[key] ?? []).map(map)]),
  ];
  return {
    read: merge("read", absolute),
    write: merge("write", absolute),
    net: merge("net"),
    env: merge("env"),
    run: merge("run", (name) => {
      const path = findProgram(name, absolute("."));
      if (path !== null) return path;
      throw new ManifestError(
        `${field}.permissions.run`,
        `there is no program ${
          quote(name)
        } in PATH; install it, or name its path`,
      );
    }),
    import: merge("import"),
  };
}

/** What is granted to be read is there, unless the device may make it. */
function checkReads(
  { permissions = {} }: Device,
  absolute: (path: string) => string,
  field: string,
): void {
  const { read = [], write = [] } = permissions;
  const writable = write.map(absolute);
  for (const [index, path] of read.map(absolute).entries()) {
    const isMade = writable.some((place) =>
      `${path}/`.startsWith(place.endsWith("/") ? place : `${place}/`)
    );
    if (!isMade) checkThere(`${field}[${index}]`, path);
  }
}

/** The names the manifest gives; else the kind and the first free number. */
function deviceNames(devices: readonly Device[]): string[] {
  const taken = new Map<string, number>();
  for (const [index, { name }] of devices.entries()) {
    if (name === undefined) continue;
    const other = taken.get(name);
    if (other !== undefined) {
      throw new ManifestError(
        `devices[${index}].name`,
        `${quote(name)} is the name of devices[${other}] too; choose another`,
      );
    }
    taken.set(name, index);
  }
  return devices.map((device, index) => {
    if (device.name !== undefined) return device.name;
    const kind = isVhostUser(device)
      ? kindOfDevice(device)
      : kindOf(device.use);
    let number = 0;
    while (taken.has(`${kind}${number}`)) number++;
    taken.set(`${kind}${number}`, index);
    return `${kind}${number}`;
  });
}

/** "block", or what a module is called: "echo" for ./echo.ts and ./echo/mod.ts. */
export function kindOf(use: string): string {
  const parts = use.split("/");
  const file = parts.pop()!.replace(/\.[a-z]+$/, "");
  const kind = file === "mod" ? parts.pop() ?? "" : file;
  const clean = kind.replace(/[^A-Za-z0-9_-]/g, "").slice(0, 32);
  return /^[A-Za-z]/.test(clean) ? clean : "device";
}
