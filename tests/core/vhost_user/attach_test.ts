// Back ends are connected to before anything runs: what is wrong is a ManifestError that names the field.

import { assertEquals, assertRejects } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { parseManifest } from "../../../core/manifest/load.ts";
import { BackEnds } from "../../../core/vhost_user/attach.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import {
  FakeBackEnd,
  type FakeBackEndOptions,
} from "../../support/fake_back_end.ts";
import { withFolder } from "../../support/folder.ts";
import { listen } from "../../support/connections.ts";

/** Has fakes listen at 0.sock, 1.sock, … and `test` attach to them. */
function withBackEnds(
  options: readonly FakeBackEndOptions[],
  test: (
    attach: (virtio?: Record<string, unknown>) => Promise<BackEnds>,
    fakes: readonly Promise<FakeBackEnd | null>[],
  ) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const listeners = options.map((_, i) => listen(`${folder}/${i}.sock`));
    const fakes = listeners.map(async (listener, i) => {
      const connection = await listener.accept();
      return connection && new FakeBackEnd(connection, options[i]);
    });
    const devices = options.map((_, i) => ({
      use: "vhost-user",
      socket: `${i}.sock`,
      device: "rng",
    }));
    try {
      await test((virtio = {}) => {
        const all = devices.map((device) => ({ ...device, virtio }));
        const manifest = { devices: [{ use: "console" }, ...all] };
        return BackEnds.attach(
          parseManifest(manifest, folder, builtInDevices).devices,
        );
      }, fakes);
    } finally {
      for (const listener of listeners) listener.close();
    }
  });
}

Deno.test("Every back end is connected to, and hung up on when nobody took it", () =>
  withBackEnds([{}, {}], async (attach, fakes) => {
    const backEnds = await attach();
    assertEquals(backEnds.isEmpty, false);
    backEnds[Symbol.dispose]();
    for (const fake of fakes) await (await fake)!.ended;
  }));

Deno.test("One that does not fit has the others hung up on", () =>
  withBackEnds([{}, { features: 0n }], async (attach, fakes) => {
    const error = await assertRejects(() => attach(), ManifestError);
    assertEquals((error as ManifestError).path, "devices[2].socket");
    for (const fake of fakes) await (await fake)!.ended;
  }));

Deno.test("Notification data is refused before anybody is connected to", () =>
  withBackEnds([{}], async (attach) => {
    const asked = { notificationData: true };
    const error = await assertRejects(() => attach(asked), ManifestError);
    assertEquals(
      (error as ManifestError).path,
      "devices[1].virtio.notificationData",
    );
  }));
