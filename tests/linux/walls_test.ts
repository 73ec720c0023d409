// A machine whose processes run as a user with no rights, in a cgroup of its own. It makes the user and mounts cgroup2,
// so it runs in the lab only.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const USER = "walled";
const UID = 4711;
const GROUPS = "/run/cgroup";
const PARENT = `${GROUPS}/machines`;
const MiB = 2 ** 20;

/** Only there may a test change users, mounts and modes. */
const labTest = (name: string, test: () => Promise<void>) =>
  Deno.env.has("PADDOCK_LAB")
    ? linuxTest(name, test)
    : Deno.test.ignore(`${name} (skipped: not in the lab)`, test);

async function prepareHost(): Promise<void> {
  const entry = `${USER}:x:${UID}:${UID}::/:/bin/false\n`;
  await Deno.writeTextFile("/etc/passwd", entry, { append: true });
  await Deno.chown("/dev/kvm", 0, UID);
  await Deno.chmod("/dev/kvm", 0o660);
  await Deno.mkdir(GROUPS, { recursive: true });
  const { success } = await new Deno.Command("mount", {
    args: ["-t", "cgroup2", "none", GROUPS],
  }).output();
  assert(success);
  await Deno.writeTextFile(
    `${GROUPS}/cgroup.subtree_control`,
    "+memory +cpu +pids",
  );
  await Deno.mkdir(PARENT);
}

const SCRIPT = `
dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=1M conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda bs=1M count=2 2>/dev/null | cmp - /tmp/data && echo "data: intact"
echo "die: $(head -c 4 /dev/hwrng | wc -c)"
echo "ready"
read line
`;

/** Of /proc/PID/status. */
async function statusOf(pid: number): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(`/proc/${pid}/status`);
  return Object.fromEntries(
    text.split("\n").map((line) => line.split(/:\s+/) as [string, string]),
  );
}

labTest(
  "A VM with a device in a process runs as a user with no rights, in a cgroup that goes with it",
  () =>
    withFolder(async (folder) => {
      await prepareHost();
      await Deno.chmod(folder, 0o755);
      await Deno.writeTextFile(`${folder}/script.sh`, SCRIPT);
      const disk = `${folder}/disk.img`;
      await using vm = await Vm.start({
        memory: "256M",
        boot: { use: "debian", script: `${folder}/script.sh` },
        devices: [
          { use: "console" },
          { use: "block", path: disk, size: "16M" },
          { use: new URL("../../plugins/dice/mod.ts", import.meta.url).href },
        ],
      }, { user: USER, cgroup: PARENT });
      const limit = setTimeout(() => vm.kill(), 150_000);
      const input = vm.console!.writable.getWriter();
      let text = "";
      const output = vm.console!.readable.pipeThrough(new TextDecoderStream());
      for await (const part of output) {
        text += part;
        if (text.includes("ready")) break;
      }
      assertStringIncludes(text, "data: intact");
      assertStringIncludes(text, "die: 4");
      assertEquals((await Deno.stat(disk)).uid, UID);

      const [group] = [...Deno.readDirSync(PARENT)]
        .filter(({ isDirectory }) => isDirectory);
      const path = `${PARENT}/${group!.name}`;
      const read = async (file: string) =>
        (await Deno.readTextFile(`${path}/${file}`)).trim();
      // KVM has a kernel thread in it too, which has no command line.
      const pids = (await read("cgroup.procs")).split("\n").map(Number)
        .filter((pid) => Deno.readTextFileSync(`/proc/${pid}/cmdline`) !== "");
      assertEquals(pids.length, 2);
      for (const pid of pids) {
        const { Uid, Groups, CapEff, NoNewPrivs, Seccomp } = await statusOf(
          pid,
        );
        assertEquals(
          { Uid, Groups: Groups?.trim(), CapEff, NoNewPrivs, Seccomp },
          {
            Uid: `${UID}\t${UID}\t${UID}\t${UID}`,
            Groups: `${UID}`,
            CapEff: "0000000000000000",
            NoNewPrivs: "1",
            Seccomp: "2",
          },
        );
      }
      // Guest RAM, its page tables, and half a GiB a process; a processor for the vCPU and each process.
      assertEquals(
        await read("memory.max"),
        `${(256 + 3 * 0.5 + 2 * 512) * MiB}`,
      );
      assertEquals(await read("cpu.max"), "300000 100000");
      assertEquals(await read("pids.max"), `${1 + 2 * 128}`);

      await input.write(new TextEncoder().encode("\n"));
      const { reason } = await vm.wait();
      clearTimeout(limit);
      assertEquals(reason, "poweroff");
      assertEquals(
        [...Deno.readDirSync(PARENT)].filter(({ isDirectory }) => isDirectory),
        [],
      );
    }),
);
