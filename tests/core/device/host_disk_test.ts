import { assertEquals, assertThrows } from "@std/assert";
import { HostDisk } from "../../../core/device/host_disk.ts";
import { ManifestError } from "../../../core/errors.ts";

/** Calls the test with the path of an image of 1 MiB, all ones. */
function withImage(test: (path: string) => void): void {
  const dir = Deno.makeTempDirSync();
  const path = `${dir}/disk.img`;
  Deno.writeFileSync(path, new Uint8Array(1 << 20).fill(0xff));
  try {
    test(path);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

const open = (path: string, writable: boolean, createSize?: number) =>
  new HostDisk({ field: "path", path, writable, createSize }, "devices[3]");

function refusal(action: () => unknown): string {
  const error = assertThrows(action, ManifestError) as ManifestError;
  assertEquals(error.path, "devices[3].path");
  assertEquals(error.message.includes("\n"), false);
  return error.message;
}

Deno.test("HostDisk lets one writer or many readers have an image", () => {
  withImage((path) => {
    const writer = open(path, true);
    refusal(() => open(path, true));
    const message = refusal(() => open(path, false));
    assertEquals(message.includes("in use by another VM"), true);
    writer.close();
    using _one = open(path, false);
    using _two = open(path, false);
    refusal(() => open(path, true));
  });
});

Deno.test("HostDisk names the field when an image cannot be opened", () => {
  withImage((path) => {
    refusal(() => open(`${path}.none`, true));
    refusal(() => open(`${path}/under`, false));
    refusal(() => open("/proc", true));
  });
});

Deno.test("HostDisk makes a sparse image where there is none, and keeps one that is there", () => {
  withImage((path) => {
    using _new = open(`${path}.new`, true, 64 << 20);
    const { size, blocks } = Deno.statSync(`${path}.new`);
    assertEquals([size, blocks], [64 << 20, 0]);
    using _old = open(path, true, 64 << 20);
    assertEquals(Deno.statSync(path).size, 1 << 20);
  });
});

Deno.test("HostDisk punches holes without changing the size", () => {
  withImage((path) => {
    using disk = open(path, true);
    assertEquals(disk.punchHole(4096, 8192), true);
    const { size } = Deno.statSync(path);
    const bytes = Deno.readFileSync(path);
    assertEquals(size, 1 << 20);
    assertEquals(
      [bytes[4095], bytes[4096], bytes[12287], bytes[12288]],
      [0xff, 0, 0, 0xff],
    );
    assertEquals(disk.punchHole((1 << 20) - 4096, 1 << 20), true);
    assertEquals(Deno.statSync(path).size, 1 << 20, "nor past the end");
  });
});

Deno.test("HostDisk refuses holes that make no sense, and any in a read-only image", () => {
  withImage((path) => {
    using disk = open(path, true);
    for (
      const [offset, length] of [
        [-1, 512],
        [0, 0],
        [0, -512],
        [0.5, 512],
        [NaN, 512],
        [2 ** 60, 512],
        [0, Infinity],
      ] as const
    ) assertEquals(disk.punchHole(offset, length), false);
    disk.close();
    using reader = open(path, false);
    assertEquals(reader.punchHole(0, 4096), false);
    assertEquals(Deno.readFileSync(path).every((byte) => byte === 0xff), true);
  });
});
