import { assertEquals, assertRejects } from "@std/assert";
import { HostError } from "../../../core/errors.ts";
import { parseDepends, resolveModules } from "../../../core/image/modules.ts";

const module = (depends: string) =>
  new TextEncoder().encode(
    `\x7fELF\0license=GPL\0depends=${depends}\0intree=Y\0`,
  );

/** A lib/modules/RELEASE folder with these modules, by path. */
async function withModules(
  modules: Record<string, string>,
  test: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [path, depends] of Object.entries(modules)) {
      const parent = path.slice(0, path.lastIndexOf("/") + 1);
      await Deno.mkdir(`${folder}/${parent}`, { recursive: true });
      await Deno.writeFile(`${folder}/${path}`, module(depends));
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("parseDepends() reads the names that a module needs", () => {
  assertEquals(parseDepends(module("virtio,virtio_ring")), [
    "virtio",
    "virtio_ring",
  ]);
  assertEquals(parseDepends(module("")), []);
  assertEquals(parseDepends(new Uint8Array(16)), []);
});

Deno.test("resolveModules() puts what a module needs before it, once", async () => {
  const modules = {
    "drivers/virtio_blk.ko": "virtio,virtio_ring",
    "drivers/virtio_ring.ko": "virtio",
    "drivers/deep/virtio.ko": "",
    "drivers/virtio-rng.ko": "virtio_ring",
  };
  await withModules(modules, async (folder) => {
    const found = await resolveModules(folder, ["virtio_blk", "virtio_rng"]);
    assertEquals(found.map(({ name }) => name), [
      "virtio",
      "virtio_ring",
      "virtio_blk",
      "virtio_rng",
    ]);
    assertEquals(found[0]?.data, module(""));
  });
});

Deno.test("resolveModules() takes a name without a file to be built in", async () => {
  await withModules({ "a.ko": "ext4" }, async (folder) => {
    const found = await resolveModules(folder, ["a", "ext4"]);
    assertEquals(found.map(({ name }) => name), ["a"]);
  });
});

Deno.test("resolveModules() refuses a folder without modules", async () => {
  await withModules({}, async (folder) => {
    await assertRejects(
      () => resolveModules(folder, ["a"]),
      HostError,
      "no kernel modules",
    );
  });
});
