// Thread: main
// How the processes of one machine are closed: chosen by who starts it, the same for all of them.
import { ManifestError } from "../errors.ts";
import { Cgroup, type CgroupLimits } from "./cgroup.ts";
import { findUser, type User } from "./user.ts";

/**
 * How far a process is closed. `off`: not at all (deno -A). `deno`: Deno's permissions, which bind nothing that has FFI.
 * `strict`: also Landlock, no_new_privs, capabilities and rlimits from outside, and seccomp by closeProcess().
 */
export type SandboxLevel = "off" | "deno" | "strict";

export interface WallOptions {
  /**
   * How far the VM is closed off. `strict`, the default: a process of its own with the rights that the manifest needs,
   * by Deno's permissions and by the kernel's; it asks this process before it opens files, whose event loop must therefore
   * not be kept busy for long. `deno`: by Deno's permissions only, which bind nothing that has FFI.
   * `off`: in this process; it starts faster, and whoever breaks out of a device or of the VMM has this process' rights.
   */
  readonly sandbox?: SandboxLevel;
  /**
   * With `strict`, and for root: the user that all processes of the VM run as, with its groups and no capability. It must
   * be able to read Deno, its cache, Paddock and what the manifest names, and open /dev/kvm; and be the machine's alone:
   * a thread of this process is that user for a moment, which another process of it could then signal.
   */
  readonly user?: string;
  /**
   * With `strict`: a folder of cgroup v2, where a group is made for all processes of the VM. It limits their memory (to
   * guest RAM and 512 MiB a process), CPU time (to a processor for each vCPU and each process) and threads.
   */
  readonly cgroup?: string;
}

export interface Walls {
  readonly sandbox: SandboxLevel;
  readonly user: User | null;
  readonly cgroup: Cgroup | null;
}

/** Looks up and makes what the options name; what is made is `stack`'s. Throws a ManifestError. */
export function openWalls(
  { sandbox = "strict", user, cgroup }: WallOptions,
  limits: CgroupLimits,
  stack: AsyncDisposableStack,
): Walls {
  if (sandbox !== "strict" && (user ?? cgroup) !== undefined) {
    throw new ManifestError(
      "sandbox",
      `must be "strict" for another user and a cgroup, not "${sandbox}"`,
    );
  }
  return {
    sandbox,
    user: user === undefined ? null : findUser(user),
    cgroup: cgroup === undefined
      ? null
      : stack.use(Cgroup.create(cgroup, limits)),
  };
}
