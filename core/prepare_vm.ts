// Thread: main
// What the owner of a VM does before a process that may do less runs it: downloads, unpacking, missing disks.
import { createDisk } from "./device/host_disk.ts";
import { prepareBoot } from "./image/boot_source.ts";
import type { VmConfig } from "./manifest/config.ts";
import { showTo, type User } from "./sandbox/user.ts";
import type { StartOptions } from "./vm_backend.ts";

/**
 * The configuration of files that are all there; `folder` is for those that are made for this run,
 * which `user` may read if that is not null.
 */
export async function prepareVm(
  config: VmConfig,
  folder: string,
  options: StartOptions,
  user: User | null,
): Promise<VmConfig> {
  const boot = await prepareBoot(config.boot, folder, options);
  for (const { disk, index } of config.devices) {
    if (disk !== undefined) createDisk(disk, `devices[${index}]`, user);
  }
  if (user !== null) showTo(user, folder);
  return { ...config, boot };
}
