import { assertEquals } from "@std/assert";
import {
  buildInitramfs,
  type InitramfsOptions,
} from "../../../core/image/initramfs.ts";

/** Runs `test` with an empty cache folder and what an initramfs is made of. */
async function withParts(
  test: (options: InitramfsOptions, cache: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const saved = Deno.env.get("PADDOCK_CACHE");
  const busybox = `${folder}/busybox`;
  await Deno.writeTextFile(busybox, "#!/bin/sh\necho busybox\necho cat\n");
  await Deno.chmod(busybox, 0o755);
  const modules = `${folder}/modules`;
  await Deno.mkdir(modules);
  await Deno.writeTextFile(`${modules}/virtio_blk.ko`, "\0depends=\0");
  Deno.env.set("PADDOCK_CACHE", `${folder}/cache`);
  try {
    await test({
      kernel: { release: "6.1", vmlinuz: "", modules },
      modules: ["virtio_blk"],
      busybox,
      init: "#!/bin/sh\n",
    }, `${folder}/cache`);
  } finally {
    if (saved === undefined) Deno.env.delete("PADDOCK_CACHE");
    else Deno.env.set("PADDOCK_CACHE", saved);
    await Deno.remove(folder, { recursive: true });
  }
}

/** The header and the name of one member of an archive. */
function member(archive: string, name: string): string {
  const at = archive.indexOf(`${name}\0`);
  return archive.slice(at - 110, at + name.length);
}

Deno.test("An initramfs has something that opens as init's terminal", async () => {
  await withParts(async (options) => {
    const path = await buildInitramfs(options);
    const archive = new TextDecoder("latin1").decode(await Deno.readFile(path));
    const node = member(archive, "dev/null");
    assertEquals(node.slice(0, 6), "070701");
    assertEquals(
      node.slice(14, 22),
      "00002180",
      "a character device, rw-------",
    );
    assertEquals(node.slice(78, 94), "0000000100000003", "1:3");
    const link = member(archive, "dev/console");
    assertEquals(link.slice(14, 22), "0000a1ff", "a symbolic link");
    const order = ["dev\0", "dev/null\0", "dev/console\0"].map((name) =>
      archive.indexOf(name)
    );
    assertEquals(order, order.toSorted((a, b) => a - b), "parents come first");
  });
});

Deno.test("An initramfs is made once, and those that nobody uses any more are removed", async () => {
  await withParts(async (options, cache) => {
    const days = (count: number) => new Date(Date.now() - count * 86_400_000);
    const first = await buildInitramfs(options);
    const old = `${cache}/initramfs/5.10-0123456789abcdef.cpio`;
    await Deno.writeTextFile(old, "");
    await Deno.utime(old, days(31), days(31));

    // A use of what is there starts its days anew, and looks for nothing else.
    await Deno.utime(first, days(40), days(40));
    assertEquals(await buildInitramfs(options), first);
    assertEquals((await Deno.stat(old)).size, 0);

    const second = await buildInitramfs({ ...options, init: "#!/bin/sh -e\n" });
    const left = [...Deno.readDirSync(`${cache}/initramfs`)]
      .map(({ name }) => `${cache}/initramfs/${name}`);
    assertEquals(left.sort(), [first, second].sort());
  });
});
