// Thread: main
// What the owner of a VM does before a process that may do less runs it: downloads, unpacking, missing disks.
import { createDisk } from "./device/host_disk.ts";
import { prepareBoot } from "./image/boot_source.ts";
import type { VmConfig } from "./manifest/config.ts";
import { giveTo, type User } from "./sandbox/user.ts";
import type { StartOptions } from "./vm_backend.ts";

/** The configuration of files that are all there; `folder` is for those that are made for this run, by `user`. */
export async function prepareVm(
  config: VmConfig,
  folder: string,
  options: StartOptions,
  user: User | null,
): Promise<VmConfig> {
  const boot = await prepareBoot(config.boot, folder, options);
  for (const { disk, index } of config.devices) {
    if (disk === undefined) continue;
    if (createDisk(disk, `devices[${index}]`)) giveTo(user, disk.path);
  }
  return { ...config, boot };
}
