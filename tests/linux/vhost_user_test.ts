// Debian's virtiofsd serves a folder to a guest: read, written, killed under load, and back again.

import { assert, assertEquals } from "@std/assert";
import { fetchQemu, libraryPath } from "../lab/qemu.ts";
import { withFolder } from "../support/folder.ts";
import { Vm } from "../../core/vm.ts";
import { GUEST_MS, valueOf } from "./guest.ts";
import { linuxTest } from "./host.ts";
import { until } from "../support/wait.ts";

const MiB = 1 << 20;

async function sha256(path: string): Promise<string> {
  const data = await Deno.readFile(path);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex();
}

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65536)));
  }
  return bytes;
}

/** Serves `folder` at `socket`, until it is killed or whoever is connected hangs up. */
class Virtiofsd {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async start(socket: string, folder: string): Promise<Virtiofsd> {
    const qemu = await fetchQemu();
    await Deno.remove(socket).catch(() => {});
    const child = new Deno.Command(`${qemu}/usr/lib/qemu/virtiofsd`, {
      args: [
        `--socket-path=${socket}`,
        "-o",
        `source=${folder}`,
        "-o",
        "sandbox=chroot",
      ],
      env: { LD_LIBRARY_PATH: libraryPath(qemu) },
      stdin: "null",
    }).spawn();
    await until(
      () => {
        try {
          return Deno.statSync(socket).isSocket ?? false;
        } catch {
          return false;
        }
      },
      "socket",
      GUEST_MS,
    );
    return new Virtiofsd(child);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.kill();
    } catch {
      // It has ended.
    }
  }
}

/** Bytes of a file; none while it is not there. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}

const SCRIPT = `
device=$(basename "$(dirname "$(grep -l -x 0x001a /sys/bus/virtio/devices/*/device)")")
mount -t virtiofs shared /mnt && echo "mounted: $(cat /mnt/hello)"
echo "read: $(sha256sum </mnt/from)"
dd if=/dev/urandom of=/tmp/data bs=1M count=1 2>/dev/null
cp /tmp/data /mnt/to && sync && echo "written: $(sha256sum </tmp/data)"
mkdir /mnt/many && for i in $(seq 30); do echo "file $i" >/mnt/many/f$i; done
echo "listed: $(ls /mnt/many | wc -l)"

# Two that read and one that writes, for as long as they can.
load() { while "$@" 2>/dev/null; do :; done; }
load dd if=/mnt/from of=/dev/null bs=64k iflag=direct &
load dd if=/mnt/from of=/dev/null bs=4k iflag=direct &
load dd if=/tmp/data of=/mnt/load bs=64k oflag=direct conv=notrunc &
echo loaded
read line
echo "alive: $line"
read line
wait
echo "over: $line"
echo $device >/sys/bus/virtio/drivers/virtiofs/unbind
umount /mnt
echo $device >/sys/bus/virtio/drivers/virtiofs/bind
mount -t virtiofs shared /mnt && echo "mounted again: $(cat /mnt/hello)"
echo "read again: $(sha256sum </mnt/from)"
cp /tmp/data /mnt/again && sync && echo "written again: $(sha256sum </mnt/again)"
umount /mnt
`;

linuxTest(
  "virtiofsd serves a folder, is killed under load, and serves it again",
  () =>
    withFolder(async (folder) => {
      const [shared, socket] = [`${folder}/shared`, `${folder}/fs.sock`];
      await Deno.mkdir(shared);
      await Deno.writeTextFile(`${shared}/hello`, "hello guest\n");
      await Deno.writeFile(`${shared}/from`, randomBytes(2 * MiB));
      await Deno.writeTextFile(`${folder}/script.sh`, SCRIPT);
      await using first = await Virtiofsd.start(socket, shared);
      await using vm = await Vm.start({
        memory: "256M",
        boot: { use: "debian", script: `${folder}/script.sh` },
        devices: [{ use: "console" }, {
          use: "vhost-user",
          socket,
          device: "fs",
          tag: "shared",
          ordered: true,
        }],
      });
      const limit = setTimeout(() => vm.kill(), 300_000);
      const faults: string[] = [];
      vm.on("devicefault", ({ message }) => faults.push(message));
      let text = "";
      const output = vm.console!.readable.pipeThrough(new TextDecoderStream())
        .pipeTo(
          new WritableStream({
            write: (part) => void (text += part.replaceAll("\r", "")),
          }),
        );
      const keys = vm.console!.writable.getWriter();
      const type = (line: string) =>
        keys.write(new TextEncoder().encode(`${line}\r`));

      const says = async (line: string) => {
        const ended = vm.wait().then(() => true);
        while (!text.includes(`${line}\n`)) {
          const next = new Promise((next) => setTimeout(next, 50));
          if (await Promise.race([next, ended])) {
            throw new Error(`No "${line}" in:\n${text}`);
          }
        }
      };

      await says("loaded");
      await until(
        () => sizeOf(`${shared}/load`) > 0,
        "writes under load",
        GUEST_MS,
      );
      await new Promise((next) => setTimeout(next, 2000));
      await first.kill();
      await until(() => faults.length > 0, "fault", GUEST_MS);
      await type("yes");
      await says("alive: yes");
      await using _second = await Virtiofsd.start(socket, shared);
      await type("yes");
      const { reason } = await vm.wait();
      await output;
      clearTimeout(limit);

      assertEquals(reason, "poweroff", text);
      assertEquals(faults, ["device fs0: its back end hung up"], text);
      const from = `${await sha256(`${shared}/from`)}  -`;
      const to = `${await sha256(`${shared}/to`)}  -`;
      assertEquals(valueOf(text, "mounted"), "hello guest");
      assertEquals(valueOf(text, "read"), from);
      assertEquals(valueOf(text, "written"), to);
      assertEquals(valueOf(text, "listed"), "30");
      assertEquals(
        await Deno.readTextFile(`${shared}/many/f17`),
        "file 17\n",
      );
      assertEquals(valueOf(text, "over"), "yes");
      assertEquals(valueOf(text, "mounted again"), "hello guest");
      assertEquals(valueOf(text, "read again"), from);
      assertEquals(valueOf(text, "written again"), to);
      assertEquals(`${await sha256(`${shared}/again`)}  -`, to);
      assert(sizeOf(`${shared}/load`) > 0);
    }),
);
