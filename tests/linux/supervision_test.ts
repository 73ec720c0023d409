// A device that throws under load costs its device only: the guest goes on, and a new driver has it back.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const DEVICES = new URL("../../devices/", import.meta.url).pathname;

const SCRIPT = `
dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=1M seek=4 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
(for i in $(seq 50); do echo "tick $i"; sleep 0.05; done) &
ticks=$!
dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null && echo "dd: all well" || echo "dd: failed"
device=$(basename "$(dirname "$(grep -l -x 0x0002 /sys/bus/virtio/devices/*/device)")")
echo "status: $(cat /sys/bus/virtio/devices/$device/status)"
echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind
echo $device >/sys/bus/virtio/drivers/virtio_blk/bind
wait $ticks
dd if=/dev/vda bs=1M skip=4 count=2 2>/dev/null | cmp - /tmp/data && echo "data: intact"
dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null && echo "again: all well"
`;

const throwsUnderLoad = (isolation: "process" | "worker") => () =>
  withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    await Deno.writeTextFile(`${folder}/script.sh`, SCRIPT);
    await Deno.writeFile(path, new Uint8Array(16 * 2 ** 20));
    await using vm = await Vm.start({
      memory: "256M",
      boot: { use: "debian", script: `${folder}/script.sh` },
      devices: [{ use: "console" }, {
        use: new URL("../support/faulty_block.ts", import.meta.url).href,
        path,
        readOnly: false,
        failAt: 60,
        isolation,
        // It wraps the built-in device, whose folder is not its own.
        permissions: { read: [path, DEVICES], write: [path] },
      }],
    });
    const faults: string[] = [];
    vm.on("devicefault", ({ message }) => faults.push(message));
    const limit = setTimeout(() => vm.kill(), 90_000);
    const text = await new Response(vm.console?.readable).text();
    const { reason } = await vm.wait();
    clearTimeout(limit);
    assertEquals(reason, "poweroff", text);
    const [said, ...seen] = faults.sort();
    assertMatch(said!, /faulty on purpose.*faulty_block\.ts/);
    // What the VM sees of a process too.
    const [gaveUp, ...more] = isolation === "process" ? seen : [null, ...seen];
    if (gaveUp !== null) assertMatch(gaveUp!, /its back end gave queue 0 up/);
    assertEquals(more, []);
    assertStringIncludes(text, "dd: failed");
    // DEVICE_NEEDS_RESET is bit 6 of what the driver reads.
    assertMatch(text, /status: 0x0000004f/);
    assertStringIncludes(text, "tick 50");
    assertStringIncludes(text, "data: intact");
    assertStringIncludes(text, "again: all well");
  });

linuxTest(
  "A block device in a process that throws under load costs its device only; rebinding the driver brings it back",
  throwsUnderLoad("process"),
);
linuxTest(
  "A block device in a worker that throws under load costs its device only; rebinding the driver brings it back",
  throwsUnderLoad("worker"),
);
