import { findProgram } from "../../../core/manifest/paths.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { parseManifest } from "../../../core/manifest/load.ts";
import { withScript } from "../../../core/manifest/resolve.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "./folder.ts";
import { NOTHING } from "../../support/permissions.ts";

Deno.test("parseManifest() fills in the defaults", () => {
  assertEquals(parseManifest("{} // nothing", "/", builtInDevices), {
    name: "vm",
    cpus: 1,
    memory: 536870912,
    boot: { kind: "debian", cmdline: "", script: undefined },
    devices: [],
    folder: "/",
    serial: true,
  });
});

Deno.test("parseManifest() takes every field, as text or as an object", () => {
  withFolder((dir) => {
    const manifest = {
      $schema: "./vm.schema.json",
      name: "web-1",
      cpus: 64,
      memory: "64G",
      boot: {
        kernel: "kernel",
        initrd: "./disk.img",
        cmdline: "quiet",
        protocol: "pvh",
      },
      serial: false,
      devices: [{ use: "rng", maxBytes: 16 }],
    };
    const config = parseManifest(manifest, dir, builtInDevices);
    const text = `/* a comment */ ${JSON.stringify(manifest)}`;
    assertEquals(parseManifest(text, dir, builtInDevices), config);
    const { devices, ...rest } = config;
    assertEquals(rest, {
      name: "web-1",
      cpus: 64,
      memory: 0x10_0000_0000,
      boot: {
        kind: "kernel",
        kernel: `${dir}/kernel`,
        initrd: `${dir}/disk.img`,
        cmdline: "quiet",
        protocol: "pvh",
      },
      folder: dir,
      serial: false,
    });
    assertEquals(devices[0]?.options, { maxBytes: 16 });
  });
});

Deno.test("parseManifest() knows the three things to boot", () => {
  withFolder((dir) => {
    const boot = (boot: unknown) =>
      parseManifest({ boot }, dir, builtInDevices).boot;
    assertEquals(boot({ use: "debian", script: "kernel" }), {
      kind: "debian",
      cmdline: "",
      script: `${dir}/kernel`,
    });
    assertEquals(boot({ kernel: "kernel" }), {
      kind: "kernel",
      kernel: `${dir}/kernel`,
      initrd: undefined,
      cmdline: "",
      protocol: "auto",
    });
    assertEquals(boot({ flat: "big" }), { kind: "flat", flat: `${dir}/big` });
  });
});

Deno.test("parseManifest() gives a disk's worker its one file and nothing else", () => {
  withFolder((dir) => {
    const devices = [
      { use: "block", path: "link.img", serial: "a", readOnly: true },
      { use: "block", path: `${dir}/new.img`, size: "1G" },
    ];
    const config = parseManifest({ devices }, dir, builtInDevices);
    const link = `${dir}/link.img`;
    assertEquals(config.devices[0]?.options, {
      path: link,
      size: undefined,
      readOnly: true,
      serial: "a",
    });
    assertEquals(config.devices[0]?.permissions, { ...NOTHING, read: [link] });
    assertEquals(config.devices[0]?.disk, {
      field: "path",
      path: link,
      writable: false,
      createSize: undefined,
    });
    const fresh = `${dir}/new.img`;
    assertEquals(config.devices[1]?.permissions, {
      ...NOTHING,
      read: [fresh],
      write: [fresh],
    });
    assertEquals(config.devices[1]?.disk?.createSize, 0x4000_0000);
  });
});

Deno.test("parseManifest() lets two devices share a disk that neither writes", () => {
  withFolder((dir) => {
    const disk = { use: "block", path: "disk.img", readOnly: true };
    const { devices } = parseManifest(
      { devices: [disk, { ...disk, path: "link.img" }] },
      dir,
      builtInDevices,
    );
    assertEquals(devices.map((device) => device.name), ["block0", "block1"]);
  });
});

Deno.test("parseManifest() passes a module its options and grants what is written", () => {
  withFolder((dir) => {
    const device = {
      use: "./my device#1.ts",
      color: "red",
      limits: { fast: [1, 2] },
      permissions: {
        read: ["kernel", "/etc/hosts", "kernel"],
        net: ["example.org:443"],
        run: ["sh", "./tool"],
        ffi: false,
      },
    };
    const config = parseManifest({ devices: [device] }, dir, builtInDevices);
    assertEquals(config.devices, [{
      index: 0,
      name: "mydevice10",
      builtIn: false,
      module: `file://${dir}/my%20device%231.ts`,
      isolation: "process",
      integrity: undefined,
      virtio: {
        transport: "modern",
        ring: "split",
        inOrder: false,
        notificationData: false,
        kick: "exit",
      },
      options: { color: "red", limits: { fast: [1, 2] } },
      permissions: {
        ...NOTHING,
        read: [`${dir}/kernel`, "/etc/hosts"],
        net: ["example.org:443"],
        run: [findProgram("sh", "/")!, `${dir}/tool`],
      },
      disk: undefined,
    }]);
  });
});

Deno.test("parseManifest() takes modules from elsewhere as they are written", () => {
  const hash = `sha256-${"a".repeat(43)}=`;
  const devices = [
    { use: "npm:@scope/dice@1.0.0", integrity: hash },
    { use: "jsr:@scope/dice@1", integrity: false },
    { use: "https://example.org/dice.ts" },
    { use: "http://127.0.0.1:8080/dice.ts" },
  ];
  const config = parseManifest({ devices }, "/", builtInDevices);
  assertEquals(
    config.devices.map(({ module, integrity }) => [module, integrity]),
    [
      ["npm:@scope/dice@1.0.0", hash],
      ["jsr:@scope/dice@1", false],
      ["https://example.org/dice.ts", undefined],
      ["http://127.0.0.1:8080/dice.ts", undefined],
    ],
  );
});

Deno.test("parseManifest() gives a device a process or a worker: by default one that is not built in a process", () => {
  withFolder((dir) => {
    const devices = [
      { use: "rng" },
      { use: "rng", isolation: "process" },
      { use: "./echo/mod.ts" },
      { use: "./echo/mod.ts", isolation: "worker" },
    ];
    const config = parseManifest({ devices }, dir, builtInDevices);
    assertEquals(
      config.devices.map(({ isolation, options }) => [isolation, options]),
      [
        ["worker", { maxBytes: 65536 }],
        ["process", { maxBytes: 65536 }],
        ["process", {}],
        ["worker", {}],
      ],
    );
  });
});

Deno.test("parseManifest() resolves a file: specifier to the same module as its path", () => {
  withFolder((dir) => {
    const devices = [
      { use: "../echo/mod.ts" },
      { use: `file://${dir}/echo/mod.ts` },
    ];
    const config = parseManifest({ devices }, `${dir}/folder`, builtInDevices);
    assertEquals(
      config.devices.map(({ name, module }) => [name, module]),
      [
        ["echo0", `file://${dir}/echo/mod.ts`],
        ["echo1", `file://${dir}/echo/mod.ts`],
      ],
    );
  });
});

Deno.test("parseManifest() adds granted permissions to those that options imply", () => {
  withFolder((dir) => {
    const disk = { use: "block", path: "disk.img", readOnly: true };
    const devices = [{ ...disk, permissions: { read: ["kernel"] } }];
    const config = parseManifest({ devices }, dir, builtInDevices);
    assertEquals(config.devices[0]?.permissions, {
      ...NOTHING,
      read: [`${dir}/disk.img`, `${dir}/kernel`],
    });
  });
});

Deno.test("parseManifest() wants what a device may read to be there, unless it may write it", () => {
  withFolder((dir) => {
    const parse = (permissions: Record<string, string[]>) =>
      parseManifest(
        { devices: [{ use: "./echo/mod.ts", permissions }] },
        dir,
        builtInDevices,
      ).devices[0]!.permissions;
    for (
      const permissions of [
        { read: ["kernel", "folder", "link.img", "/"] },
        { read: ["new/data"], write: ["new"] },
        { read: ["new"], write: ["./new"] },
        { write: ["new"] },
      ]
    ) parse(permissions);
    const error = assertThrows(
      () => parse({ read: ["kernel", "new"], write: ["newer"] }),
      ManifestError,
    );
    assertEquals(
      (error as ManifestError).message,
      `devices[0].permissions.read[1]: there is no file or folder "${dir}/new"; create it, correct the path, or remove it from the list`,
    );
  });
});

Deno.test("parseManifest() says where an example is that is used like a built-in device", () => {
  const error = assertThrows(
    () => parseManifest({ devices: [{ use: "dice" }] }, "/", builtInDevices),
    ManifestError,
  );
  const module = new URL("../../../plugins/dice/mod.ts", import.meta.url).href;
  assertEquals(
    (error as ManifestError).message,
    `devices[0].use: "dice" is an example, no built-in device; name its module: "${module}"`,
  );
  parseManifest({ devices: [{ use: module }] }, "/", builtInDevices);
});

Deno.test("parseManifest() makes up names around those that are given", () => {
  const devices = [
    { use: "rng" },
    { use: "rng", name: "rng1" },
    { use: "rng" },
    { use: "console", name: "rng0" },
  ];
  const config = parseManifest({ devices }, "/", builtInDevices);
  assertEquals(
    config.devices.map((device) => device.name),
    ["rng2", "rng1", "rng3", "rng0"],
  );
});

Deno.test("parseManifest() keeps prototype keys harmless in a module's options", () => {
  withFolder((dir) => {
    const { devices } = parseManifest(
      '{ "devices": [{ "use": "./echo/mod.ts", "__proto__": { "a": 1 }, "constructor": 2 }] }',
      dir,
      builtInDevices,
    );
    const options = devices[0]!.options;
    assertEquals(Object.getPrototypeOf(options), Object.prototype);
    assertEquals(options.a, undefined);
    assertEquals(({} as Record<string, unknown>).a, undefined);
  });
});

Deno.test("withScript() replaces the script, and only where Debian's boot can run it", () => {
  withFolder((dir) => {
    const debian = parseManifest("{}", dir, builtInDevices);
    assertEquals(withScript(debian, `${dir}/kernel`).boot, {
      kind: "debian",
      cmdline: "",
      script: `${dir}/kernel`,
    });
    const flat = parseManifest({ boot: { flat: "big" } }, dir, builtInDevices);
    assertThrows(
      () => withScript(flat, `${dir}/kernel`),
      ManifestError,
      '--script: needs "boot": { "use": "debian" }',
    );
    assertThrows(
      () => withScript(debian, `${dir}/none.sh`),
      ManifestError,
      "--script: there is no file",
    );
  });
});

Deno.test("parseManifest() takes how a device speaks virtio", () => {
  const virtio = { ring: "packed", kick: "ioeventfd" };
  const config = parseManifest(
    { devices: [{ use: "console", virtio }] },
    "/",
    builtInDevices,
  );
  assertEquals(config.devices[0]?.virtio, {
    transport: "modern",
    ring: "packed",
    inOrder: false,
    notificationData: false,
    kick: "ioeventfd",
  });
});
