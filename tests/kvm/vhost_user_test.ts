// A guest whose disk QEMU's storage daemon serves, over vhost-user.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { UnixSocket } from "../../core/sys/unix_socket.ts";
import { Vm } from "../../core/vm.ts";
import { findQemu } from "../lab/lab.ts";
import { libraryPath } from "../lab/qemu.ts";
import { withFolder } from "../support/folder.ts";
import { hello, paddock, readUntil, runToEnd, within } from "./hello.ts";
import { kvmTest } from "./host.ts";

const found = await findQemu();
const qemu = "qemu" in found ? found.qemu : "";
/** A test that needs the daemon. */
const daemonTest = "qemu" in found
  ? kvmTest
  : (name: string, fn: () => Promise<void>) =>
    Deno.test.ignore(`${name} (skipped: ${found.reason})`, fn);

/** Runs the daemon with a disk of 1 MiB, `disk.img`, at `s.sock`. */
async function withDaemon(
  test: (folder: string, daemon: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeFile(
      `${folder}/disk.img`,
      new Uint8Array(1 << 20).fill(0x5a),
    );
    const program = `${qemu}/usr/bin/qemu-storage-daemon`;
    const daemon = new Deno.Command(program, {
      env: { LD_LIBRARY_PATH: libraryPath(qemu) },
      args: [
        "--blockdev",
        `driver=file,node-name=disk,filename=${folder}/disk.img`,
        "--export",
        `type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,addr.path=${folder}/s.sock`,
      ],
      stdin: "null",
    }).spawn();
    try {
      await within(30_000, "its start", listens(`${folder}/s.sock`));
      await test(folder, daemon);
    } finally {
      try {
        daemon.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await daemon.status;
    }
  });
}

async function listens(path: string): Promise<void> {
  for (;;) {
    try {
      if (Deno.statSync(path).isSocket) return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const disk = (folder: string, more = {}) => ({
  use: "vhost-user",
  socket: `${folder}/s.sock`,
  device: "block",
  ...more,
});

daemonTest(
  "A guest writes and reads a disk that QEMU serves",
  () =>
    withDaemon(async (folder) => {
      const { exit, console } = await runToEnd(
        hello("", [{ use: "console" }, disk(folder)]),
      );
      assertEquals(exit.reason, "poweroff", console);
      assertStringIncludes(
        console,
        "block: 2048 sectors, sector 2047 written and verified",
      );
      // The guest puts back what was there.
      const bytes = await Deno.readFile(`${folder}/disk.img`);
      assert(bytes.every((byte) => byte === 0x5a));
    }),
);

daemonTest(
  "A daemon that is killed costs its device only",
  () =>
    withDaemon(async (folder, daemon) => {
      await using vm = await Vm.start(
        hello("exit=hang", [{ use: "console" }, disk(folder)]),
      );
      const fault = Promise.withResolvers<string>();
      vm.on("devicefault", ({ message }) => fault.resolve(message));
      await within(
        10_000,
        "the guest",
        readUntil(vm.console!.readable, "verified"),
      );
      daemon.kill("SIGKILL");
      assertEquals(
        await within(5000, "the fault", fault.promise),
        "device block0: its back end hung up",
      );
      await within(5000, "the end", vm.stop());
      assertEquals((await vm.wait()).reason, "stopped");
    }),
);

daemonTest(
  "What the daemon does not offer is said before anything runs",
  () =>
    withDaemon(async (folder) => {
      const of = async (device: Record<string, unknown>) => {
        const manifest = `${folder}/vm.json`;
        await Deno.writeTextFile(manifest, JSON.stringify(hello("", [device])));
        const { code, stdout, stderr } = await paddock(["run", manifest]);
        return [code, stdout, stderr];
      };
      const field =
        `error: devices[0].socket: the program at "${folder}/s.sock"`;
      assertEquals(await of(disk(folder, { virtio: { ring: "packed" } })), [
        2,
        "",
        `${field} offers no VIRTIO_F_RING_PACKED; remove "ring": "packed"\n`,
      ]);
      assertEquals(await of(disk(folder, { queues: 9 })), [
        2,
        "",
        `${field} has 1 queues, not 9; lower "queues"\n`,
      ]);
    }),
);

kvmTest(
  "A socket at which nobody listens is said before anything runs",
  () =>
    withFolder(async (folder) => {
      UnixSocket.listen(`${folder}/s.sock`).close();
      const manifest = `${folder}/vm.json`;
      await Deno.writeTextFile(
        manifest,
        JSON.stringify(hello("", [disk(folder)])),
      );
      const { code, stdout, stderr } = await paddock(["run", manifest]);
      assertEquals([code, stdout], [2, ""]);
      assertEquals(
        stderr,
        `error: devices[0].socket: connect ${folder}/s.sock failed: ECONNREFUSED, nobody listens there; start the program that serves the device\n`,
      );
    }),
);
