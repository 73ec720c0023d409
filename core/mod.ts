// Thread: main
/**
 * Paddock as a library: virtual machines from a manifest, on /dev/kvm.
 *
 * ```ts ignore
 * import { Vm } from "@paddock/paddock";
 *
 * await using vm = await Vm.start({
 *   memory: "256M",
 *   boot: { use: "debian", script: "test.sh" },
 *   devices: [{ use: "console" }],
 * });
 * console.log(await new Response(vm.console?.readable).text());
 * ```
 *
 * @module
 */
export type { DevicePort } from "./plugin.ts";
export type { ConsoleStream } from "./device/console_stream.ts";
export type { Check, Report } from "./conformance/check.ts";
export { conformance } from "./conformance/conformance.ts";
export {
  DeviceError,
  DriverError,
  HostError,
  ManifestError,
  SysError,
} from "./errors.ts";
export type { BootSourceOptions } from "./image/boot_source.ts";
export type { MachineStatistics } from "./vcpu/vcpu_set.ts";
export type { BootConfig, DeviceConfig, VmConfig } from "./manifest/config.ts";
export type {
  Manifest,
  ManifestBoot,
  ManifestDevice,
  ManifestPermissions,
  ManifestVirtio,
} from "./manifest/manifest.ts";
export type { TraceEvent, TraceKind } from "./virtio/trace.ts";
export {
  type ExitReason,
  type ManifestSource,
  Vm,
  type VmEvents,
  type VmExit,
  type VmOptions,
} from "./vm.ts";
