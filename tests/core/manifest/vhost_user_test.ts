// Devices that another program serves, as the manifest has them.

import { assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { parseManifest } from "../../../core/manifest/load.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "./folder.ts";

type Fields = Record<string, unknown>;

/** The folder with a socket in it. */
function withSocket(test: (dir: string) => void): void {
  withFolder((dir) => {
    using _socket = UnixSocket.listen(`${dir}/s.sock`);
    test(dir);
  });
}

function parse(dir: string, ...devices: Fields[]) {
  const all = devices.map((device) => ({ use: "vhost-user", ...device }));
  return parseManifest({ devices: all }, dir, builtInDevices).devices;
}

Deno.test("A folder's configuration space is the front end's: its tag, and its request queues", () => {
  withSocket((dir) => {
    const [device] = parse(dir, {
      socket: "./s.sock",
      device: "fs",
      tag: "shared",
      queues: 3,
      queueSize: 64,
    });
    const { name, builtIn, module, isolation, virtio, backEnd } = device!;
    assertEquals(
      [name, builtIn, module, isolation],
      ["fs0", true, "", "worker"],
    );
    assertEquals([virtio.kick, virtio.ring], ["ioeventfd", "split"]);
    const config = new Uint8Array(40);
    config.set([0x73, 0x68, 0x61, 0x72, 0x65, 0x64]);
    config[36] = 2;
    assertEquals(backEnd, {
      socket: `${dir}/s.sock`,
      id: 26,
      queues: [64, 64, 64],
      config,
      withoutConfig: null,
      needs: [],
      ordered: false,
    });
  });
});

Deno.test("Each kind of device has its id, queues and bytes of configuration", () => {
  withSocket((dir) => {
    const of = (device: Fields) => {
      const [parsed] = parse(dir, { socket: "s.sock", ...device });
      const { id, queues, config } = parsed!.backEnd!;
      return [id, queues.length, queues[0], config];
    };
    assertEquals(of({ device: "block" }), [2, 1, 128, 60]);
    assertEquals(of({ device: "block", queues: 4 }), [2, 4, 128, 60]);
    assertEquals(of({ device: 2, configSize: 96 }), [2, 1, 128, 96]);
    assertEquals(of({ device: "rng", queueSize: 8 }), [4, 1, 8, 0]);
    assertEquals(of({ device: "net" }), [1, 2, 128, 12]);
    assertEquals(of({ device: "input" }), [18, 2, 128, 136]);
    assertEquals(of({ device: "gpio" }), [41, 1, 128, 8]);
    assertEquals(of({ device: 19, queues: 3, configSize: 8 }), [19, 3, 128, 8]);
    assertEquals(of({ device: 26, tag: "a" }).slice(0, 3), [26, 2, 128]);
  });
});

Deno.test("How it speaks virtio is said as for any device", () => {
  withSocket((dir) => {
    const device = { socket: "s.sock", device: "rng", name: "dice" };
    const virtio = { ring: "packed", kick: "exit" };
    const [parsed] = parse(dir, { ...device, virtio });
    assertEquals([parsed!.name, parsed!.virtio.ring], ["dice", "packed"]);
    // The other program has the eventfd: there is no other way.
    assertEquals(parsed!.virtio.kick, "ioeventfd");
  });
});

Deno.test("What is wrong with such a device is one line that names the field", () => {
  const good = { socket: "s.sock", device: "rng" };
  const fs = { socket: "s.sock", device: "fs", tag: "a" };
  const cases: [Fields[], string][] = [
    [[{ device: "rng" }], "devices[0].socket: is required"],
    [[{ socket: "s.sock" }], "devices[0].device: is required"],
    [[{ ...good, socket: "no.sock" }], "devices[0].socket: there is no socket"],
    [[{ ...good, socket: "kernel" }], "devices[0].socket: "],
    [[{ ...good, socket: "folder" }], "is no socket"],
    [
      [{ ...good, device: "disk" }],
      'devices[0].device: must be "net", "block"',
    ],
    [[{ ...good, device: 0 }], "or the number of a virtio device, not 0"],
    [[{ ...good, device: 1.5 }], "or the number of a virtio device, not 1.5"],
    [[{ ...good, device: 65536 }], "devices[0].device: must be"],
    [[{ ...good, device: null }], "devices[0].device: must be"],
    [[{ ...good, queues: 0 }], "devices[0].queues: must be"],
    [[{ ...good, queues: 32 }], "from 1 to 31, not 32"],
    [[{ ...good, queueSize: 100 }], "a power of two up to 1024, not 100"],
    [[{ ...good, queueSize: 2048 }], "devices[0].queueSize: must be"],
    [[{ ...good, configSize: 1025 }], "devices[0].configSize: must be"],
    [[{ ...good, ordered: 1 }], "devices[0].ordered: must be true or false"],
    [[{ ...good, tag: "a" }], "devices[0].tag: is for"],
    [[{ socket: "s.sock", device: "fs" }], "devices[0].tag: must be the name"],
    [[{ ...fs, tag: "" }], "devices[0].tag: must be"],
    [[{ ...fs, tag: "ä".repeat(19) }], "up to 36 bytes"],
    [[{ ...fs, queues: 1 }], "devices[0].queues: must be at least 2"],
    [[{ ...good, permissions: {} }], "devices[0].permissions: unknown field"],
    [[{ ...good, isolation: "process" }], "devices[0].isolation: unknown"],
    [[{ ...good, path: "x" }], "devices[0].path: unknown field"],
    [[good, good], "devices[1].socket: is the socket of devices[0].socket too"],
    [
      [{ ...good, virtio: { transport: "legacy", ring: "packed" } }],
      "devices[0].virtio.ring: needs the modern transport",
    ],
  ];
  withSocket((dir) => {
    for (const [devices, message] of cases) {
      const error = assertThrows(
        () => parse(dir, ...devices),
        ManifestError,
        message,
      );
      assertEquals(`${error.message}`.includes("\n"), false);
    }
  });
});

Deno.test("A misspelt use is taken for what it was meant to be", () => {
  assertThrows(
    () =>
      parseManifest({ devices: [{ use: "vhostuser" }] }, "/", builtInDevices),
    ManifestError,
    'did you mean "vhost-user"?',
  );
});
