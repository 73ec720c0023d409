// Debian's kernel boots in every way that there is: CPUs, memory, protocols; its devices are there,
// and it has nothing to complain about.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { unpackIntoCache } from "../../core/image/boot_source.ts";
import { fetchGuest } from "../../core/image/initramfs.ts";
import { runGuest, valueOf, writeInitrd } from "./guest.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const SCRIPT = `
echo "cpus: $(nproc)"
echo "memory: $(awk '/MemTotal/ { print $2 }' /proc/meminfo)"
echo "cmdline: $(cat /proc/cmdline)"
echo "clock: $(dmesg | grep -c 'kvm-clock: Using msrs')"
dmesg | grep -i 'warn\\|bug\\|call trace\\|fail' | sed 's/^/complaint: /'
for device in /sys/bus/virtio/devices/*; do
  echo "device: $(cat $device/device) $(basename $(readlink -f $device/..)) $(basename $(readlink $device/driver))"
done
`;
/** The lab's CPU does not tell KVM when its guest enables AVX, at which the guest's kernel marvels. */
const LAB_CMDLINE = Deno.env.has("PADDOCK_LAB") ? "noxsave" : "";

/** What Linux says of the CPU that it is given, or of what a machine without PCI cannot have. */
const EXPECTED = [
  /AMD Zen\d \w+ bug detected/,
  /Speculative Return Stack Overflow: WARNING/,
  /"pci=nocrs" and report a bug/,
  // Written in kernels for each CPU's mitigations.
  /WARNING: Spectre v2/,
];

function complaints(text: string): string[] {
  return text.split("\n").filter((line) =>
    line.startsWith("complaint: ") &&
    !EXPECTED.some((known) => known.test(line))
  );
}

for (const cpus of [1, 2, 4]) {
  linuxTest(
    `Debian's kernel boots with ${cpus} vCPUs and all devices`,
    () =>
      withFolder(async (folder) => {
        const disk = { use: "block", path: `${folder}/disk.img`, size: "1M" };
        const { text, exit } = await runGuest(SCRIPT, {
          cpus,
          cmdline: LAB_CMDLINE,
          devices: [disk, { use: "rng" }],
        });
        assertEquals(exit.reason, "poweroff", text);
        assertEquals(valueOf(text, "cpus"), `${cpus}`);
        // Linux tells of the first CPU's; the others' it does not always.
        assert(Number(valueOf(text, "clock")) >= 1, text);
        const kib = Number(valueOf(text, "memory"));
        assert(kib > 190 << 10 && kib <= 256 << 10, `${kib} KiB`);
        assertEquals(complaints(text), []);
        assertEquals(
          [...text.matchAll(/^device: (.*)$/gm)].map(([_, it]) => it),
          [
            "0x0003 LNRO0005:00 virtio_console",
            "0x0002 LNRO0005:01 virtio_blk",
            "0x0004 LNRO0005:02 virtio_rng",
          ],
        );
      }),
  );
}

/** Fills 64 MiB, for which Linux takes the highest memory that it has, and says how much of it was there. */
const HIGH_MEMORY_SCRIPT = `
grep 'System RAM' /proc/iomem | sed 's/^/range: /'
free() { awk '/zone  *Normal/ { on = 1 } on && /nr_free_pages/ { print $2; exit }' /proc/zoneinfo; }
before=$(free)
mount -t tmpfs tmpfs /mnt
dd if=/dev/urandom of=/tmp/one bs=1M count=1 2>/dev/null
for i in $(seq 64); do cat /tmp/one; done >/mnt/many
echo "taken: $((before - $(free)))"
expected=$(for i in $(seq 64); do cat /tmp/one; done | md5sum)
[ "$expected" = "$(md5sum </mnt/many)" ] && echo "content: same"
`;

for (
  const [memory, mib, top] of [
    ["3584M", 3584, "11fffffff"],
    ["5G", 5120, "17fffffff"],
  ] as const
) {
  linuxTest(
    `A guest with ${memory} has RAM on both sides of the device hole`,
    async () => {
      const { text, exit } = await runGuest(SCRIPT + HIGH_MEMORY_SCRIPT, {
        memory,
      });
      assertEquals(exit.reason, "poweroff", text);
      const kib = Number(valueOf(text, "memory"));
      assert(kib > mib * 1024 * 0.94 && kib <= mib * 1024, `${kib} KiB`);
      assertMatch(text, /^range: 00100000-bfffffff : System RAM$/m);
      assertMatch(
        text,
        new RegExp(`^range: 100000000-${top} : System RAM$`, "m"),
      );
      assert(Number(valueOf(text, "taken")) > 60 << 8, text);
      assertEquals(valueOf(text, "content"), "same");
    },
  );
}

for (
  const [name, file, protocol] of [
    ["a bzImage by the 64-bit protocol", "vmlinuz", "linux64"],
    ["a bzImage by PVH", "vmlinuz", "pvh"],
    ["an ELF vmlinux", "vmlinux", "auto"],
  ] as const
) {
  linuxTest(
    `The manifest's own kernel boots: ${name}`,
    () =>
      withFolder(async (folder) => {
        const { kernel: { vmlinuz } } = await fetchGuest();
        const kernel = file === "vmlinuz"
          ? vmlinuz
          : (await unpackIntoCache(vmlinuz, {}))!;
        await writeInitrd(`${folder}/initrd`, SCRIPT);
        const cmdline = `console=hvc0 pci=off own=${protocol}`;
        const boot = { kernel, initrd: `${folder}/initrd`, cmdline, protocol };
        const { text, exit } = await runGuest("", { boot });
        assertEquals(exit.reason, "poweroff", text);
        assertMatch(
          valueOf(text, "cmdline"),
          new RegExp(` own=${protocol}\\b`),
        );
        assertMatch(text, /^device: 0x0003 LNRO0005:00 virtio_console$/m);
      }),
  );
}
