// Linux's virtio_blk with Paddock's block device: file systems, read-only disks, discard, load.

import { assert, assertEquals } from "@std/assert";
import { runGuest, valueOf } from "./guest.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const MiB = 1 << 20;

async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex();
}

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65536)));
  }
  return bytes;
}

/** Runs a program of e2fsprogs on the host. */
async function e2fs(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    // Not on every user's PATH.
    env: { PATH: `${Deno.env.get("PATH")}:/usr/sbin:/sbin` },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  if (code !== 0) throw new Error(`${program}: status ${code}\n${out}${err}`);
  return out!;
}

const FILE_SYSTEM_SCRIPT = `
mount -t ext4 -o discard /dev/vda /mnt || exit 1
cp /dev/vdb /mnt/copied
for i in $(seq 100); do mkdir -p /mnt/d$((i % 7)); echo "file $i" >/mnt/d$((i % 7))/f$i; done
echo "sha: $(sha256sum </mnt/copied)"
umount /mnt
echo "serials: $(cat /sys/block/vda/serial) $(cat /sys/block/vdb/serial)"
echo "read-only: $(cat /sys/block/vda/ro) $(cat /sys/block/vdb/ro)"
dd if=/dev/zero of=/dev/vdb bs=4096 count=1 conv=fsync 2>/dev/null || echo "write: refused"
mount -t ext4 /dev/vda /mnt
rm /mnt/copied
sync
fstrim -v /mnt
umount /mnt
`;

linuxTest(
  "A guest keeps an ext4 file system that the host's e2fsck finds clean",
  () =>
    withFolder(async (folder) => {
      const [disk, source] = [`${folder}/ext4.img`, `${folder}/source.img`];
      await Deno.writeFile(disk, new Uint8Array());
      await Deno.truncate(disk, 64 * MiB);
      await e2fs("mke2fs", "-q", "-t", "ext4", "-E", "nodiscard", disk);
      const data = randomBytes(24 * MiB);
      await Deno.writeFile(source, data);
      const { text, exit } = await runGuest(
        FILE_SYSTEM_SCRIPT,
        {
          devices: [
            { use: "block", path: disk, serial: "disk-with-20-letters" },
            { use: "block", path: source, serial: "S2", readOnly: true },
          ],
        },
      );
      assertEquals(exit.reason, "poweroff", text);
      assertEquals(valueOf(text, "sha"), `${await sha256(data)}  -`);
      assertEquals(valueOf(text, "serials"), "disk-with-20-letters S2");
      assertEquals(valueOf(text, "read-only"), "0 1");
      assertEquals(valueOf(text, "write"), "refused");
      assertEquals(
        await sha256(await Deno.readFile(source)),
        await sha256(data),
      );
      await e2fs("e2fsck", "-f", "-n", disk);
      for (const i of [1, 50, 100]) {
        const content = await e2fs(
          "debugfs",
          "-R",
          `cat /d${i % 7}/f${i}`,
          disk,
        );
        assertEquals(content, `file ${i}\n`);
      }
      // 24 MiB were written, and given back when the file was removed.
      const { blocks } = await Deno.stat(disk);
      assert(blocks! * 512 < 16 * MiB, `${blocks} blocks are left`);
    }),
);

const LOAD_SCRIPT = `
for part in 0 1 2 3; do
  dd if=/dev/vda of=/dev/vdb bs=1M count=16 skip=$((part * 16)) seek=$((part * 16)) conv=notrunc 2>/dev/null &
done
wait
sync
echo 3 >/proc/sys/vm/drop_caches
for part in 0 1 2 3; do
  dd if=/dev/vdb bs=256k count=64 skip=$((part * 64)) iflag=direct 2>/dev/null | sha256sum | sed "s/^/part $part: /" &
done
wait
echo "in flight: $(cat /sys/block/vdb/inflight)"
`;

linuxTest(
  "64 MiB go through two disks with many requests in flight, intact",
  () =>
    withFolder(async (folder) => {
      const data = randomBytes(64 * MiB);
      await Deno.writeFile(`${folder}/from.img`, data);
      const { text, exit } = await runGuest(LOAD_SCRIPT, {
        cpus: 2,
        devices: [
          { use: "block", path: `${folder}/from.img`, readOnly: true },
          { use: "block", path: `${folder}/to.img`, size: "64M" },
        ],
      });
      assertEquals(exit.reason, "poweroff", text);
      assertEquals(
        await sha256(await Deno.readFile(`${folder}/to.img`)),
        await sha256(data),
      );
      for (let part = 0; part < 4; part++) {
        const slice = data.slice(part * 16 * MiB, (part + 1) * 16 * MiB);
        assertEquals(
          valueOf(text, `part ${part}`),
          `${await sha256(slice)}  -`,
        );
      }
      assertEquals(valueOf(text, "in flight").trim().split(/ +/), ["0", "0"]);
    }),
);

linuxTest(
  "What a guest has synced is on the host when it is killed",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const { text, exit } = await runGuest(
        `
echo "rounds: 0"
i=0
while :; do
  i=$((i + 1))
  printf 'round %08d' $i | dd of=/dev/vda bs=512 seek=1 conv=notrunc,fsync 2>/dev/null
  echo "synced $i"
done`,
        {
          devices: [{ use: "block", path, size: "1M" }],
          during: async (vm, text) => {
            while (!text().includes("synced 5\n")) {
              await new Promise((next) => setTimeout(next, 10));
            }
            await vm.kill();
          },
        },
      );
      assertEquals(exit.reason, "killed");
      const last = Number([...text.matchAll(/^synced (\d+)$/gm)].at(-1)![1]);
      const bytes = (await Deno.readFile(path)).subarray(512, 526);
      const found = new TextDecoder().decode(bytes);
      const round = Number(/^round (\d{8})$/.exec(found)?.[1]);
      assert(round >= last, `${found} after "synced ${last}"`);
    }),
);
