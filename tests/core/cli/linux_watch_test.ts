import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isLinux, LinuxWatch } from "../../../core/cli/linux_watch.ts";
import type { BootConfig, VmConfig } from "../../../core/manifest/config.ts";
import { withFolder } from "../../support/folder.ts";

const HELLO = new URL("../../guests/hello/hello.elf", import.meta.url).pathname;
const DEBIAN = { kind: "debian", cmdline: "", script: undefined } as const;
const kernel = (path: string) =>
  ({
    kind: "kernel",
    kernel: path,
    initrd: undefined,
    cmdline: "",
    protocol: "auto",
  }) as const;

interface Case {
  readonly boot: BootConfig;
  /** What the machine's counter says at each look. */
  readonly mailed: readonly number[];
  /** What each probe says. */
  readonly runsLinux: readonly boolean[];
}

/** Watches a machine until nothing more is to come. */
async function watch(
  { boot, mailed, runsLinux }: Case,
  closeAtOnce = false,
) {
  const counts = { looks: 0, probes: 0, kills: 0 };
  const vm = {
    config: { boot } as VmConfig,
    statistics: () => {
      const count = mailed[counts.looks++] ?? mailed.at(-1)!;
      return Promise.resolve({ exits: count, mailed: count, unassigned: 0 });
    },
    kill: () => {
      counts.kills++;
      return Promise.resolve();
    },
  };
  const probe = () =>
    Promise.resolve(runsLinux[counts.probes++] ?? runsLinux.at(-1)!);
  using linux = new LinuxWatch(vm, {
    manifest: "a/vm.json",
    probe,
    lateMs: 1,
    pauseMs: 1,
  });
  if (closeAtOnce) linux[Symbol.dispose]();
  await new Promise((next) => setTimeout(next, 100));
  return { ...counts, verdict: linux.verdict };
}

Deno.test("A Linux that is late is ended when every probe fails, with the reason and the way out", async () => {
  const { probes, kills, verdict } = await watch({
    boot: DEBIAN,
    mailed: [0],
    runsLinux: [false],
  });
  assertEquals([probes, kills, verdict?.reason], [3, 1, "failure"]);
  assertStringIncludes(verdict!.detail, "cannot run Linux; ");
  assertStringIncludes(verdict!.detail, " start ");
  assert(verdict!.detail.endsWith("a/vm.json"), verdict!.detail);
});

Deno.test("A machine is left alone when a device was touched, a probe passes once, or it is no Linux", async () => {
  const touched = { boot: DEBIAN, mailed: [40], runsLinux: [false] };
  const touchedLater = { boot: DEBIAN, mailed: [0, 1], runsLinux: [false] };
  const native = { boot: DEBIAN, mailed: [0], runsLinux: [true] };
  const busy = { boot: DEBIAN, mailed: [0], runsLinux: [false, true] };
  const small = { boot: kernel(HELLO), mailed: [0], runsLinux: [false] };
  const flat = {
    boot: { kind: "flat", flat: HELLO },
    mailed: [0],
    runsLinux: [false],
  } as const;
  for (const each of [touched, touchedLater, native, busy, small, flat]) {
    const { kills, verdict } = await watch(each);
    assertEquals([kills, verdict], [0, null]);
  }
  assertEquals((await watch(touched)).probes, 0);
  assertEquals((await watch(small)).probes, 0);
});

Deno.test("A machine that has ended is not looked at", async () => {
  const end = { boot: DEBIAN, mailed: [0], runsLinux: [false] };
  assertEquals((await watch(end, true)).looks, 0);
});

Deno.test("isLinux() knows a packed and an unpacked kernel, and no other guest", () =>
  withFolder(async (folder) => {
    const packed = new Uint8Array(4096);
    packed.set(new TextEncoder().encode("HdrS"), 0x202);
    await Deno.writeFile(`${folder}/bzImage`, packed);
    await Deno.writeTextFile(
      `${folder}/vmlinux`,
      `\x7fELF${"\0".repeat(5000)}Linux version 6.12.0 (gcc) #1 SMP`,
    );
    assert(await isLinux(DEBIAN));
    assert(await isLinux(kernel(`${folder}/bzImage`)));
    assert(await isLinux(kernel(`${folder}/vmlinux`)));
    assert(!await isLinux(kernel(HELLO)));
    assert(!await isLinux({ kind: "flat", flat: `${folder}/vmlinux` }));
  }));
