import { assertEquals } from "@std/assert";
import { parseManifest } from "../../../core/manifest/load.ts";
import { vmPermissions } from "../../../core/sandbox/vm_permissions.ts";
import { builtInDevices } from "../../../devices/registry.ts";

const root = new URL("../../../", import.meta.url).pathname;

Deno.test("vmPermissions() names a folder once, with or without a slash, and nothing beneath it", () => {
  const read = [
    `${root}devices`,
    `${root}core/virtio`,
    "/data",
    "/data/",
    "/data/a",
    "/data-2",
  ];
  const parsed = parseManifest(
    { devices: [{ use: "rng" }] },
    "/",
    builtInDevices,
  );
  const config = {
    ...parsed,
    devices: parsed.devices.map((device) => ({
      ...device,
      permissions: { ...device.permissions, read },
    })),
    boot: { kind: "flat", flat: "/data/kernel" },
  } as const;
  const none = { manifest: undefined, cache: undefined };
  assertEquals(vmPermissions(config, none).read, [
    `${root}core/`,
    `${root}devices/`,
    "/data",
    "/data-2",
  ]);
});
