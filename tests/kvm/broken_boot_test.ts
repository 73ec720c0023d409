// Kernels and initrds that cannot be booted: one line that says why, and nothing is started.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fetchKernel } from "../../core/image/debian.ts";
import { unpackIntoCache } from "../../core/image/boot_source.ts";
import { type Manifest, ManifestError, Vm } from "../../core/mod.ts";
import { HELLO, paddock } from "./hello.ts";
import { withFolder } from "../support/folder.ts";
import { kvmTest } from "./host.ts";

type Boot = Record<string, unknown>;

/** Fails to start, and returns the message. */
async function refusal(boot: Boot, memory = "64M"): Promise<string> {
  const { message } = await assertRejects(async () => {
    const vm = await Vm.start({
      memory,
      boot: boot as Manifest["boot"],
      devices: [],
    });
    await vm.kill();
  }, ManifestError);
  assertMatch(message, /^boot(\.[a-z]+)?: [^\n]+[^\n.]$/);
  return message;
}

/** Writes beginnings of a file, and has each refused. */
async function refuseBeginnings(
  folder: string,
  whole: Uint8Array,
  lengths: readonly number[],
): Promise<void> {
  for (const length of lengths) {
    const kernel = `${folder}/kernel`;
    await Deno.writeFile(kernel, whole.subarray(0, length));
    await refusal({ kernel }).catch((error) => {
      throw new Error(`${length} of ${whole.length} bytes: ${error.message}`);
    });
  }
}

kvmTest(
  "A directory, a text file, an empty file and no file are no kernel",
  () =>
    withFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/text`, "a kernel\n".repeat(1000));
      await Deno.writeTextFile(`${folder}/empty`, "");
      for (const name of [".", "text", "empty", "missing"]) {
        for (const field of ["kernel", "initrd", "flat"]) {
          const path = `${folder}/${name}`;
          if (name === "text" && field !== "kernel") continue;
          const boot = field === "initrd"
            ? { kernel: HELLO, initrd: path }
            : { [field]: path };
          const message = await refusal(boot);
          assert(message.startsWith(`boot.${field}: `), message);
        }
      }
    }),
);

kvmTest(
  "An ELF kernel that ends early is refused, wherever it ends",
  () =>
    withFolder(async (folder) => {
      const whole = await Deno.readFile(HELLO);
      const lengths = Array.from({ length: 60 }, (_, i) => 1 + i * 50);
      await refuseBeginnings(folder, whole, lengths);
    }),
);

kvmTest(
  "Debian's kernel is refused when it ends early, packed or unpacked",
  () =>
    withFolder(async (folder) => {
      const { vmlinuz } = await fetchKernel();
      const unpacked = await unpackIntoCache(vmlinuz, {});
      const lengths = [1, 63, 64, 500, 513, 520, 1000, 4096, 16384, 65536];
      for (const path of [vmlinuz, unpacked!]) {
        const whole = await Deno.readFile(path);
        await refuseBeginnings(folder, whole, [...lengths, whole.length >> 1]);
      }
      const whole = await Deno.readFile(vmlinuz);
      await refuseBeginnings(folder, whole, [whole.length - 4097]);
    }),
);

kvmTest(
  "What does not fit into memory is refused",
  () =>
    withFolder(async (folder) => {
      const large = `${folder}/large`;
      await Deno.writeTextFile(large, "large");
      await Deno.truncate(large, 64 << 20);
      for (const boot of [{ flat: large }, { kernel: HELLO, initrd: large }]) {
        assertMatch(await refusal(boot, "32M"), /memory/);
        // Whatever lies in memory besides takes room as well.
        assertMatch(await refusal(boot, "64M"), /memory/);
      }
    }),
);

kvmTest("A command line that is too long is refused", async () => {
  const cmdline = "x".repeat(2048);
  assertMatch(await refusal({ kernel: HELLO, cmdline }), /^boot\.cmdline: /);
  // With what Debian's guest has before it, this one is too long.
  const rest = "x".repeat(2040);
  assertMatch(
    await refusal({ use: "debian", cmdline: rest }, "256M"),
    /^boot\.cmdline: /,
  );
});

kvmTest(
  "paddock run exits with status 2 and one line for each of them",
  () =>
    withFolder(async (folder) => {
      const whole = await Deno.readFile(HELLO);
      await Deno.writeFile(`${folder}/short`, whole.subarray(0, 1000));
      await Deno.writeTextFile(`${folder}/text`, "no kernel\n".repeat(100));
      await Deno.writeTextFile(`${folder}/large`, "large");
      await Deno.truncate(`${folder}/large`, 1 << 30);
      const boots: Boot[] = [
        { kernel: "short" },
        { kernel: "text" },
        { kernel: folder },
        { flat: "large" },
        { kernel: HELLO, initrd: "large" },
        { kernel: HELLO, cmdline: "x".repeat(3000) },
      ];
      for (const boot of boots) {
        const manifest = `${folder}/vm.json`;
        await Deno.writeTextFile(
          manifest,
          JSON.stringify({ memory: "64M", boot }),
        );
        const { code, stdout, stderr } = await paddock(["run", manifest]);
        assertEquals([code, stdout], [2, ""], stderr);
        assertMatch(stderr, /^error: boot\.[^\n]+\n$/);
      }
    }),
);
