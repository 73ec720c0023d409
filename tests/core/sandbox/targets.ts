// Somebody to attack, and what the owner of an attacker is told of it.

import { assert } from "@std/assert";
import { withFolder } from "../../support/folder.ts";
import type { Attack, Targets } from "./attacks.ts";

/** Somebody to attack: a process, a TCP port, a unix socket, a folder. */
export async function withTargets(
  use: (targets: Targets) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const socket = `${folder}/socket`;
    using _tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using _unix = Deno.listen({ transport: "unix", path: socket });
    // The signal of the attack is ignored, so that there is a victim for the next one.
    await using victim = new Deno.Command("sh", {
      args: ["-c", "trap '' USR1; echo; exec sleep 60"],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    await victim.stdout.getReader().read();
    const { port } = _tcp.addr as Deno.NetAddr;
    await use({ folder, pid: victim.pid, port, socket });
  });
}

/** What the owner of the process is told of each attack. */
const expectedAttempts = (
  { folder, pid }: Targets,
): Readonly<Record<Attack, string>> => {
  const path = (name: string) => JSON.stringify(name);
  const process = `process ${pid}`;
  return {
    "read /etc/shadow": `read of ${path("/etc/shadow")}`,
    "write a file": `write of ${path(`${folder}/made`)}`,
    "list a folder": `read of ${path(folder)}`,
    // glibc starts it by clone.
    "run a program": "clone",
    "connect to a TCP port": "socket of AF_INET",
    "connect to a unix socket": "socket of AF_UNIX",
    "open a raw socket": "socket of AF_INET",
    "open a packet socket": "socket of AF_PACKET",
    "open a netlink socket": "socket of AF_NETLINK",
    "make a datagram socket of a pair": "socketpair of AF_UNIX",
    "watch a folder": "inotify_add_watch",
    "trace a process": `ptrace of ${process}`,
    "signal a process": `kill of ${process}`,
    "signal its thread": `tgkill of ${process}`,
    "signal by tkill": `tkill of ${process}`,
    "read its memory": `read of ${path(`/proc/${pid}/mem`)}`,
    "read its environment": `read of ${path(`/proc/${pid}/environ`)}`,
    "open its files": `read of ${path(`/proc/${pid}/fd/0`)}`,
    "read its command line": `read of ${path(`/proc/${pid}/cmdline`)}`,
    "write to /proc": `write of ${path("/proc/self/mem")}`,
    "limit its files": `prlimit64 of ${process}`,
    "slow it down": `setpriority of ${process}`,
    "choose its processor": `sched_setaffinity of ${process}`,
    "change a mode": `chmod of ${path(folder)}`,
    "change an owner": `chown of ${path(folder)}`,
    "change times": `utimensat of ${path(folder)}`,
    "share memory with others": "shmget",
    "open a message queue": "msgget",
    "mount": `mount of ${path(folder)}`,
    "make a namespace": "unshare",
    "load a BPF map": "bpf",
    "open by handle": `name_to_handle_at of ${path("/")}`,
    "set up io_uring": "io_uring_setup",
    "answer for its owner": "seccomp",
    "use a key ring": "keyctl",
  };
};

/** Each attack is among the attempts that an owner was told of. */
export function assertTold(
  attempts: readonly string[],
  targets: Targets,
): void {
  // The attacker's own folder of /proc has no other name.
  const own = new RegExp(`/proc/(?!${targets.pid})[0-9]+/`);
  const said = attempts.map((line) => line.replace(own, "/proc/self/"));
  for (const [attack, attempt] of Object.entries(expectedAttempts(targets))) {
    const line = `tried ${attempt}, which is not granted`;
    assert(said.includes(line), `${attack}: ${line} is not in ${said}`);
  }
}
